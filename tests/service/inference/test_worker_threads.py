"""Functions in threads for an event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.inference.worker_threads import WorkerThreads
from tests.service.app_client import PATIENCE
from tests.service.faulty_engines import no_threads_left

__all__ = ["no_threads_left"]


@pytest.mark.usefixtures("no_threads_left")
def test_results_reach_the_loop_and_threads_end() -> None:
    async def test() -> list[tuple[bool, bool]]:
        threads, results = WorkerThreads(2, "engine-test"), asyncio.Queue[tuple[bool, bool]]()
        main = threading.current_thread()
        for _ in range(5):
            threads.submit(
                threading.current_thread,
                lambda thread: results.put_nowait((thread is main, threading.current_thread() is main)),
            )
        found = [await asyncio.wait_for(results.get(), PATIENCE) for _ in range(5)]
        threads.end()
        return found

    assert asyncio.run(test()) == [(False, True)] * 5


@pytest.mark.usefixtures("no_threads_left")
def test_as_many_calls_run_at_a_time_as_there_are_threads() -> None:
    async def test() -> None:
        threads, both = WorkerThreads(2, "engine-test"), threading.Barrier(2)
        results = asyncio.Queue[int]()
        for _ in range(2):
            threads.submit(lambda: both.wait(PATIENCE), results.put_nowait)
        assert {await results.get(), await results.get()} == {0, 1}
        threads.end()

    asyncio.run(test())


@pytest.mark.usefixtures("no_threads_left")
def test_result_for_a_closed_loop_is_dropped() -> None:
    gate, threads = threading.Event(), WorkerThreads(1, "engine-test")

    async def test() -> None:
        threads.submit(lambda: gate.wait(PATIENCE), pytest.fail)

    asyncio.run(test())
    gate.set()
    threads.end()
