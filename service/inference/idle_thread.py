"""A thread for work that nobody waits for: the operating system runs it when a core has nothing else to do."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class IdleThread:
    """Makes one call after the other. It is a daemon: a call that hangs does not delay the exit."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, function: Callable[[], T]) -> T:
        """Return the result of a call, made after those before it."""
        return await asyncio.wrap_future(self.submit(function))

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Make a call after those before it."""
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future

    def end(self) -> None:
        """End the thread after the submitted calls."""
        self._calls.put(None)

    def _work(self) -> None:
        with suppress(AttributeError, OSError):  # other systems than Linux
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while call := self._calls.get():
            _make(*call)
            del call  # its inputs must not stay in memory until the next one


def _make(function: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
