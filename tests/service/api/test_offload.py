"""Which work happens in a thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.api.offload import LARGE, offload


@pytest.mark.parametrize(("size", "in_thread"), [(0, False), (LARGE - 1, False), (LARGE, True)])
def test_large_inputs_are_processed_in_a_thread(size: int, *, in_thread: bool) -> None:
    used = asyncio.run(offload(size, threading.get_ident))
    assert (used != threading.get_ident()) is in_thread


def test_errors_and_arguments_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(offload(LARGE, divmod, 1, 0))
