"""Work on items in threads, and yield the results in order, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(
    work: Callable[[T], R], items: Iterable[T], threads: int, limit: int | Callable[[T], int] = 0
) -> Generator[R]:
    """Yield the result of `work` on each item, in the order of the items.

    Args:
        work: Function that the threads call.
        items: Items, taken as needed in the thread of the caller.
        threads: Number of threads.
        limit: Max items that are in work or wait for the caller, by default as many as threads. A function returns it
            for the newest item.
    """
    pool, pending = ThreadPoolExecutor(threads, "lineage"), deque[Future[R]]()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            while len(pending) >= (limit(item) if callable(limit) else max(limit, threads)):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # a `with` block would first run what is left of an abandoned iteration
        pool.shutdown(cancel_futures=True)
