"""Threads that run functions for an event loop, with fewer steps than an executor's futures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
Call = tuple[asyncio.AbstractEventLoop, Callable[[], Any], Callable[[Any], object]]


class WorkerThreads:
    """Up to `maximum` threads, started as they are needed. None of them delays the exit."""

    def __init__(self, maximum: int, name: str) -> None:
        self._maximum, self._name = maximum, name
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._started = 0

    def submit(self, function: Callable[[], T], finish: Callable[[T], object]) -> None:
        """Call a function, which raises nothing, in a thread, then `finish` with its result in the running loop."""
        if self._started < self._maximum:
            self._started += 1
            Thread(target=self._work, name=self._name, daemon=True).start()
        self._calls.put((asyncio.get_running_loop(), function, finish))

    def end(self) -> None:
        """End the threads after the submitted calls."""
        for _ in range(self._started):
            self._calls.put(None)

    def _work(self) -> None:
        while call := self._calls.get():
            _make(*call)
            del call  # its inputs must not stay in memory until the next one


def _make(loop: asyncio.AbstractEventLoop, function: Callable[[], T], finish: Callable[[T], object]) -> None:
    result = function()
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(finish, result)
