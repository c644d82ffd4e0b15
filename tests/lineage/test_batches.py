"""Order, memory and errors of work on batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from lineage.batches import check_batches, map_batches, map_batches_async

Map = Callable[[Callable[[list[int]], list[int]], Iterable[int], int, int], Iterator[int]]


def map_async(work: Callable[[list[int]], list[int]], items: Iterable[int], size: int, concurrency: int) -> list[int]:
    async def run() -> list[int]:
        results = map_batches_async(lambda batch: asyncio.to_thread(work, batch), items, size, concurrency)
        return [result async for result in results]

    return asyncio.run(run())


@pytest.mark.parametrize("run", [map_batches, map_async])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 50])
def test_results_are_in_order(run: Map, count: int) -> None:
    def work(batch: list[int]) -> list[int]:
        assert 1 <= len(batch) <= 3
        time.sleep(0.002 * (batch[0] % 2))  # every other batch is slower
        return [-item for item in batch]

    assert list(run(work, range(count), 3, 4)) == [-item for item in range(count)]


@pytest.mark.parametrize("run", [map_batches, map_async])
def test_batches_run_at_the_same_time(run: Map) -> None:
    together = threading.Barrier(3, timeout=10)

    def work(batch: list[int]) -> list[int]:
        together.wait()
        return batch

    assert list(run(work, range(6), 2, 3)) == list(range(6))


def test_items_are_taken_as_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_batches(lambda batch: batch, items(), 2, 3)
    assert list(islice(results, 4)) == [0, 1, 2, 3]
    assert len(taken) <= 4 + 2 * 3
    results.close()  # type: ignore[attr-defined]


def test_async_items_are_taken_as_needed() -> None:
    taken = []

    async def items() -> AsyncIterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    async def echo(batch: list[int]) -> list[int]:
        return batch

    async def run() -> None:
        results = map_batches_async(echo, items(), 2, 3)
        assert [await anext(results) for _ in range(4)] == [0, 1, 2, 3]
        await results.aclose()

    asyncio.run(run())
    assert len(taken) <= 4 + 2 * 3


@pytest.mark.parametrize("run", [map_batches, map_async])
def test_error_ends_the_work_after_earlier_results(run: Map) -> None:
    done = []

    def work(batch: list[int]) -> list[int]:
        done.append(batch[0])
        if batch[0] == 2:
            raise ValueError("batch 2")
        return batch

    got = list[int]()
    with pytest.raises(ValueError, match="batch 2"):
        got.extend(run(work, range(1000), 1, 2))
    assert run is map_async or got == [0, 1]
    assert max(done) <= 4


def test_cancelled_work_is_cancelled() -> None:
    cancelled = []

    async def work(batch: list[int]) -> list[int]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(batch[0])
            raise
        return batch

    async def run() -> None:
        async def consume() -> None:
            async for _ in map_batches_async(work, range(10), 1, 3):
                pass

        task = asyncio.create_task(consume())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert sorted(cancelled) == [0, 1, 2]


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0)])
def test_impossible_sizes_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        check_batches([], *sizes)


@pytest.mark.parametrize("image", ["photo.jpg", b"file", Path("photo.jpg")])
def test_one_image_is_not_many(image: object) -> None:
    with pytest.raises(TypeError, match="expected several"):
        check_batches(image, 1, 1)
