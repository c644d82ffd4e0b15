"""A thread for work that nobody waits for: the operating system runs it when a core has nothing else to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from service.inference.daemon_thread import DaemonThread

T = TypeVar("T")


class IdleThread(DaemonThread):
    """Makes one call after the other, at the lowest priority."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.submit(_lower_priority)

    async def run(self, function: Callable[[], T]) -> T:
        """Return the result of a call, made after those before it."""
        return await asyncio.wrap_future(self.submit(function))


def _lower_priority() -> None:
    with suppress(AttributeError, OSError):  # other systems than Linux
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
