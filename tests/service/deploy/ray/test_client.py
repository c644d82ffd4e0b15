"""Engines of other replicas, with replicas that are objects of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions, EngineUnavailable
from model_zoo.runtime.choice import Choice
from service.deploy.ray.client import MAX_TRIES, RayEngine, RayEngines
from service.inference.errors import EngineFailed
from tests.service.deploy.ray.local_ray import needs_ray
from tests.service.engine_host.running_host import image_feeds

pytestmark = needs_ray
OPENED = {"device": "fake", "canvases": [[64, 64]], "choice": asdict(Choice("cpu"))}
ROWS = np.ones((3, 6), np.float32)


class FakeHandle:
    """A handle whose calls return or raise what is next."""

    def __init__(self, *outcomes: object) -> None:
        self._outcomes: Iterator[object] = iter(outcomes)
        self.model_id = ""
        self.calls: list[tuple[object, ...]] = []

    def options(self, *, multiplexed_model_id: str) -> FakeHandle:
        self.model_id = multiplexed_model_id
        return self

    def __getattr__(self, name: str) -> FakeHandle:
        return self

    def remote(self, *arguments: object) -> FakeHandle:
        self.calls.append(arguments)
        return self

    def result(self, timeout_s: float) -> object:
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def died() -> Exception:
    from ray.exceptions import ActorDiedError

    return ActorDiedError()


def engine_of(package: Package, *outcomes: object) -> RayEngine:
    return RayEngines(FakeHandle((OPENED, None), *outcomes), 30.0, 8)(package, EngineOptions())


def test_an_engine_describes_what_a_replica_has_opened(toy: Package) -> None:
    handle = FakeHandle((OPENED, None))
    engine = RayEngines(handle, 30.0, in_flight=8)(toy, EngineOptions())
    assert (engine.device, engine.workers, list(engine.canvases)) == ("fake", 8, [(64, 64)])
    assert handle.model_id == f"toy@1#{toy.digest[:8]}"


def test_a_run_returns_rows_and_count(toy: Package) -> None:
    rows, count = engine_of(toy, ({"count": 2}, ROWS)).run(image_feeds(7, (64, 64)))
    assert (rows.shape, count.tolist()) == ((1, 3, 6), [2])


@pytest.mark.parametrize("failure", [died, lambda: ({"error": "EngineFailed", "message": "it hangs"}, None)])
def test_another_replica_gets_the_image_of_one_that_failed(toy: Package, failure: Callable[[], Any]) -> None:
    failures = [failure() for _ in range(MAX_TRIES - 1)]
    assert engine_of(toy, *failures, ({"count": 1}, ROWS)).run(image_feeds(7, (64, 64)))[1].tolist() == [1]
    with pytest.raises(EngineFailed, match=rf"^toy: .* \({MAX_TRIES} tries\)$"):
        engine_of(toy, *failures, failure()).run(image_feeds(7, (64, 64)))


def test_a_deployment_that_is_gone_is_an_engine_failure(toy: Package) -> None:
    from ray.serve.exceptions import RayServeException

    with pytest.raises(EngineFailed, match=r"not available \(gone\); see `serve status`"):
        engine_of(toy, RayServeException("gone")).run(image_feeds(7, (64, 64)))


def test_a_model_that_cannot_be_opened_has_the_error_of_the_replica(toy: Package) -> None:
    refused = {"error": "PackageError", "message": "toy@1: damaged"}
    with pytest.raises(LineageError, match=r"^toy@1: damaged$"):
        RayEngines(FakeHandle((refused, None)), 30.0, 8)(toy, EngineOptions())
    with pytest.raises(EngineUnavailable, match="died"):
        RayEngines(FakeHandle(*(died() for _ in range(MAX_TRIES))), 30.0, 8)(toy, EngineOptions())
