"""Parameters of an inference."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from model_zoo.contract.errors import PackageError, PackageNotFound
from service.api.errors import BadRequest
from service.api.oip.infer import apply_parameters, unusable_as_not_ready
from service.inference.errors import NotReady
from service.inference.request import RequestContext


def apply(parameters: Mapping[str, object]) -> tuple[float, str]:
    """Return the seconds until the deadline, and the priority."""

    async def run() -> tuple[float, str]:
        now = asyncio.get_running_loop().time()
        context = apply_parameters(RequestContext(now + 5), parameters)  # type: ignore[arg-type]
        return context.deadline - now, context.priority

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("parameters", "seconds", "priority"),
    [
        ({}, 5, "normal"),
        ({"timeout": 0, "priority": 0, "sequence_id": 1, "triton_enable_empty_final_response": True}, 5, "normal"),
        ({"timeout": 2_000_000, "priority": 1}, 2, "normal"),
        ({"timeout": 2**64 - 1, "priority": 2}, 5, "low"),
    ],
)
def test_timeout_and_priority(parameters: Mapping[str, object], seconds: float, priority: str) -> None:
    assert apply(parameters) == (pytest.approx(seconds, abs=0.5), priority)


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", None, 2**64])
@pytest.mark.parametrize("name", ["timeout", "priority"])
def test_other_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(BadRequest, match=f"parameter {name}: expected an integer of at least 0; got "):
        apply({name: value})


def test_an_unusable_model_is_not_ready_and_an_unknown_one_is_not_found() -> None:
    with pytest.raises(NotReady, match="damaged"), unusable_as_not_ready():
        raise PackageError("damaged")
    with pytest.raises(PackageNotFound), unusable_as_not_ready():
        raise PackageNotFound("unknown")
