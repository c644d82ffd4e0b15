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
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from service.inference.daemon_thread import DaemonThread

T = TypeVar("T")
LOAD_SECONDS: Final = 1800.0  # TensorRT takes minutes to build the engines of all canvases


class CallTimeout(Exception):
    """A call has not returned within its time limit."""


class _Call(Generic[T]):
    """One call in another thread. Waiting for its lock takes a fraction of the time that a future takes."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self.returned = Lock()
        self.returned.acquire()

    def make(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
        self.returned.release()

    def result(self) -> T:
        """Return or raise what the call did, without a reference cycle that keeps its inputs in memory."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error


class TimedCalls:
    """Runs calls from many threads, each in a daemon thread that is reused. None of them delays the exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: deque[DaemonThread] = deque()
        self._abandoned: list[_Call[Any]] = []

    @property
    def stuck(self) -> int:
        """Number of abandoned calls that have not returned."""
        self._abandoned = [call for call in self._abandoned if call.returned.locked()]
        return len(self._abandoned)

    def run(self, function: Callable[[], T], timeout: float) -> T:
        """Return the result of a call.

        Raises:
            CallTimeout: it has not returned after `timeout` seconds.
        """
        worker, call = self._take(), _Call(function)
        worker.post(call.make)
        if not call.returned.acquire(timeout=timeout):
            worker.end()
            self._abandoned.append(call)
            raise CallTimeout(f"no result within {timeout:g} s")
        self._idle.append(worker)
        return call.result()

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
