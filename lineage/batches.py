"""Work on batches of images at the same time, and yield the results in order.

At most `concurrency` batches are in memory.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from os import PathLike
from typing import TypeVar

from model_zoo.contract.ordered_map import ordered_map

T = TypeVar("T")
R = TypeVar("R")


def check_batches(items: object, batch_size: int, concurrency: int) -> None:
    """Check the arguments of a call for many images.

    Raises:
        TypeError: `items` is one image.
        ValueError: A size is less than 1.
    """
    if isinstance(items, str | bytes | PathLike):
        raise TypeError(f"images: expected several, as a list or another iterable; got one {type(items).__name__}")
    if batch_size < 1 or concurrency < 1:
        raise ValueError(f"expected batch_size and concurrency of at least 1; got {batch_size!r} and {concurrency!r}")


def map_batches(
    work: Callable[[list[T]], Sequence[R]], items: Iterable[T], batch_size: int, concurrency: int
) -> Iterator[R]:
    """Yield the results of `work` on batches of items, in the order of the items."""
    iterator = iter(items)
    batches = iter(lambda: list(itertools.islice(iterator, batch_size)), [])
    for results in ordered_map(work, batches, concurrency):
        yield from results


async def map_batches_async(
    work: Callable[[list[T]], Awaitable[Sequence[R]]],
    items: Iterable[T] | AsyncIterable[T],
    batch_size: int,
    concurrency: int,
) -> AsyncGenerator[R]:
    """Yield the results of `work` on batches of items, in the order of the items."""
    pending = deque[asyncio.Future[Sequence[R]]]()
    try:
        async for batch in _batches(items, batch_size):
            pending.append(asyncio.ensure_future(work(batch)))
            if len(pending) == concurrency:
                for result in await pending.popleft():
                    yield result
        while pending:
            for result in await pending.popleft():
                yield result
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _batches(items: Iterable[T] | AsyncIterable[T], size: int) -> AsyncIterator[list[T]]:
    batch = list[T]()
    async for item in _iterate(items):
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def _iterate(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
