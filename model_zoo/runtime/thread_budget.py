"""Decide which inference may use all cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
            all_cores = idle and self._was_idle
            self._was_idle = idle
            self._in_flight += 1
        try:
            yield all_cores
        finally:
            with self._lock:
                self._in_flight -= 1
