"""A daemon thread that makes one call after the other: a call that hangs does not delay the exit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonThread:
    """Makes the submitted calls in their order."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Make a call after those before it."""
        future: Future[T] = Future()
        self.post(partial(_make, function, future))
        return future

    def post(self, function: Callable[[], object]) -> None:
        """Make a call, which raises nothing, without a future for its result."""
        self._calls.put(function)

    def end(self) -> None:
        """End the thread after the submitted calls."""
        self._calls.put(None)

    def _work(self) -> None:
        while call := self._calls.get():
            call()
            del call  # its inputs must not stay in memory until the next one


def _make(function: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
