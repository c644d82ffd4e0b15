"""Runs under way in this process, and which of them may take every core."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ThreadBudget:
    """Tells a run whether it may take every core: when it is alone, and the one before it was.

    Two that take every core are in each other's way, and under load the moments without a run last no time; so the
    first run after a busy spell takes one core still.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._was_idle = True

    @contextmanager
    def begin(self) -> Iterator[bool]:
        """Count a run for the time of the block; yield whether it may take every core."""
        with self._lock:
            alone = self._under_way == 0
            every_core = alone and self._was_idle
            self._was_idle = alone
            self._under_way += 1
        try:
            yield every_core
        finally:
            with self._lock:
                self._under_way -= 1
