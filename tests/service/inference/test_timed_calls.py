"""Calls with a time limit."""

from __future__ import annotations

import asyncio
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


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.usefixtures("no_threads_left")
def test_late_result_of_an_abandoned_wait_is_dropped(cancel: bool) -> None:
    calls, gate, dropped = TimedCalls("engine"), threading.Event(), list[bool]()

    async def test() -> None:
        assert await calls.wait_for(lambda: 3, PATIENCE, lambda _: None) == 3
        with pytest.raises(TimeoutError, match="mine"):
            await calls.wait_for(_raise_timeout, PATIENCE, lambda _: None)
        waiting = asyncio.create_task(calls.wait_for(gate.wait, PATIENCE if cancel else 0.01, dropped.append))
        if cancel:
            await asyncio.sleep(0)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError if cancel else CallTimeout):
            await waiting
        assert not dropped

    asyncio.run(test())
    gate.set()
    wait_until(lambda: dropped == [True])
