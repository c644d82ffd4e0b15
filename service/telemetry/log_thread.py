"""Write log lines in a thread, so that a slow reader of stderr does not delay requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import SimpleQueue
from threading import Thread
from typing import Final

# Lines that may wait. More are dropped and counted.
MAX_LINES: Final = 10_000
# Seconds until the next line after all are written: to wake this thread for each one costs more than to format it.
PAUSE: Final = 0.02
# Seconds to write the waiting lines at the end.
FLUSH_SECONDS: Final = 2.0
LOG = logging.getLogger(__name__)


@contextmanager
def write_in_background(direct: logging.Handler) -> Iterator[None]:
    """Move the writing of a root handler to a thread, which ends with the block."""
    root = logging.getLogger()
    formatter = direct.formatter
    waiting = _WaitingLines(formatter)
    direct.setFormatter(None)  # the lines are formatted
    root.removeHandler(direct)
    root.addHandler(waiting)
    thread = Thread(target=waiting.write, args=(direct,), name="log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        root.removeHandler(waiting)
        root.addHandler(direct)
        waiting.lines.put(None)
        thread.join(FLUSH_SECONDS)
        direct.setFormatter(formatter)


class _WaitingLines(QueueHandler):
    """Formats each record on the thread that logs it, to which the request id belongs."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        # unlike that of Queue, `put` can be interrupted by a signal handler that logs
        self.lines: SimpleQueue[logging.LogRecord | None] = SimpleQueue()
        super().__init__(self.lines)
        self.setFormatter(formatter)
        self._dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Keep a record for the thread, or drop it if too many wait."""
        if self.lines.qsize() < MAX_LINES:
            self.lines.put(record)
        else:
            self._dropped += 1

    def write(self, handler: logging.Handler) -> None:
        """Write records until the end."""
        while (record := self.lines.get()) is not None:
            handler.handle(record)
            if self._dropped and self.lines.qsize() < MAX_LINES // 2:
                dropped, self._dropped = self._dropped, 0
                LOG.warning("%d log lines were dropped: stderr is read too slowly", dropped)
            if not self.lines.qsize():
                time.sleep(PAUSE)
