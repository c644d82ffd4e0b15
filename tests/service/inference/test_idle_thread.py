"""The thread for work that nobody waits for."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from service.inference.idle_thread import IdleThread
from tests.service.store_engines import run


@pytest.mark.skipif(sys.platform != "linux", reason="needs SCHED_IDLE")
def test_calls_run_in_order_on_a_thread_that_is_served_last() -> None:
    async def test() -> None:
        thread = IdleThread("idle")
        policies = await asyncio.gather(*(thread.run(lambda: os.sched_getscheduler(0)) for _ in range(3)))
        assert policies == [os.SCHED_IDLE] * 3
        assert os.sched_getscheduler(0) != os.SCHED_IDLE
        thread.end()

    run(test)


def test_errors_are_raised_and_the_thread_goes_on() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def test() -> None:
        thread = IdleThread("idle")
        with pytest.raises(ValueError, match="no"):
            await thread.run(fail)
        assert await thread.run(lambda: threading.current_thread().name) == "idle"
        thread.end()

    run(test)
    assert "idle" not in [thread.name for thread in threading.enumerate() if not thread.daemon]


def test_thread_ends() -> None:
    async def test() -> None:
        thread = IdleThread("ends")
        (worker,) = (t for t in threading.enumerate() if t.name == "ends")
        thread.end()
        await asyncio.to_thread(worker.join, 30)
        assert not worker.is_alive()

    run(test)
