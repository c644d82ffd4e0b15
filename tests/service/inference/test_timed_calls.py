"""Calls with a time limit."""

from __future__ import annotations

import threading

import pytest

from service.inference.timed_calls import CallTimeout, TimedCalls
from tests.service.app_client import PATIENCE, wait_until
from tests.service.faulty_engines import no_threads_left

__all__ = ["no_threads_left"]


@pytest.mark.usefixtures("no_threads_left")
def test_calls_return_and_raise_as_usual() -> None:
    calls = TimedCalls("engine")
    assert calls.run(lambda: 3, PATIENCE) == 3
    with pytest.raises(TimeoutError, match="mine"):
        calls.run(_raise_timeout, PATIENCE)
    calls.close()


def _raise_timeout() -> None:
    raise TimeoutError("mine")


@pytest.mark.usefixtures("no_threads_left")
def test_thread_is_reused() -> None:
    calls = TimedCalls("engine")
    assert len({calls.run(threading.get_ident, PATIENCE) for _ in range(9)}) == 1
    calls.close()


@pytest.mark.usefixtures("no_threads_left")
def test_stuck_call_is_abandoned_and_counted_until_it_returns() -> None:
    calls, gate = TimedCalls("engine"), threading.Event()
    with pytest.raises(CallTimeout, match=r"0\.01 s"):
        calls.run(gate.wait, 0.01)
    assert calls.stuck == 1
    assert calls.run(lambda: "next", PATIENCE) == "next"
    gate.set()
    wait_until(lambda: calls.stuck == 0)
    calls.close()
