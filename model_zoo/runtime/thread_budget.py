"""Threads per inference: count the usable cores, and decide which inference may use all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from loky import cpu_count

MAX_THREADS: Final = 8  # per inference: every session keeps its threads, though few are ever used at the same time


def all_cores() -> int:
    """Return the threads of an inference that uses all cores: the physical cores of this container, up to 8."""
    return min(int(cpu_count(only_physical_cores=True)), MAX_THREADS)


class ThreadBudget:
    """Decides which inference may use all cores: one that, like the previous one, runs without overlap.

    Two runs that use all cores slow each other down. Under load, idle moments between runs are too short to use, so
    the first run after a busy period still gets one core.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self._was_idle = True

    @contextmanager
    def run(self) -> Iterator[bool]:
        """Count a run as in flight inside the block and yield True if it may use all cores."""
        with self._lock:
            idle = self._in_flight == 0
            may_use_all = idle and self._was_idle
            self._was_idle = idle
            self._in_flight += 1
        try:
            yield may_use_all
        finally:
            with self._lock:
                self._in_flight -= 1
