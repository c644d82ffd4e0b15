"""Calls with a time limit.

No thread can be ended from outside. A call that exceeds its limit is therefore abandoned, in a daemon thread.

calls = TimedCalls("engine")
calls.run(function, timeout=10.0)     # raises CallTimeout
await calls.wait_for(function, timeout=10.0, drop=close)
calls.close()
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Final, TypeVar

from service.inference.daemon_thread import DaemonThread

T = TypeVar("T")
LOAD_SECONDS: Final = 1800.0  # TensorRT takes minutes to build the engines of all canvases


class CallTimeout(Exception):
    """A call has not returned within its time limit."""


class TimedCalls:
    """Runs calls from many threads, each in a daemon thread that is reused. None of them delays the exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: deque[DaemonThread] = deque()
        self._abandoned: list[Future[Any]] = []

    @property
    def stuck(self) -> int:
        """Number of abandoned calls that have not returned."""
        self._abandoned = [call for call in self._abandoned if not call.done()]
        return len(self._abandoned)

    def run(self, function: Callable[[], T], timeout: float) -> T:
        """Return the result of a call.

        Raises:
            CallTimeout: it has not returned after `timeout` seconds.
        """
        worker = self._take()
        future = worker.submit(function)
        if wait((future,), timeout).not_done:
            worker.end()
            self._abandoned.append(future)
            raise CallTimeout(f"no result within {timeout:g} s")
        self._idle.append(worker)
        return future.result()

    async def wait_for(self, function: Callable[[], T], timeout: float, drop: Callable[[T], object]) -> T:
        """Return the result of a call in an event loop. `drop` gets a result that nobody waits for any more.

        Raises:
            CallTimeout: it has not returned after `timeout` seconds.
        """
        worker = self._take()
        future = worker.submit(function)
        worker.end()
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait((waiting,), timeout=timeout)
        finally:
            if not waiting.done():
                future.add_done_callback(partial(_drop, drop))
        if not waiting.done():
            raise CallTimeout(f"no result within {timeout:g} s")
        return waiting.result()

    def close(self) -> None:
        """End the idle threads. Abandoned ones end when their call returns."""
        while self._idle:
            self._idle.pop().end()

    def _take(self) -> DaemonThread:
        try:
            return self._idle.pop()
        except IndexError:
            return DaemonThread(self._name)


def _drop(drop: Callable[[T], object], future: Future[T]) -> None:
    if not future.exception():
        drop(future.result())
