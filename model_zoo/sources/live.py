"""Cameras and streams: the newest frame wins, and a lost connection is opened again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from model_zoo.contract.errors import ImageError
from model_zoo.contract.frames import Frame, Load, failed_frame

DELAYS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)  # seconds before each attempt to connect again
JOIN_SECONDS: Final = 1.0
Connect: TypeAlias = Callable[[], Iterator[Load]]
LOG: Final = logging.getLogger(__name__)


class LiveSource:
    """A camera or stream. A thread reads it, and keeps the newest frame only.

    Args:
        name: Name of the source.
        connect: Opens the source and returns an iterator over its frames. Raises ImageError.
        first: An iterator of `connect` that is open already.
    """

    is_live = True
    is_video = True

    def __init__(self, name: str, connect: Connect, first: Iterator[Load] | None = None) -> None:
        self.name = name
        self._connect, self._first = connect, first
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: ImageError | None = None
        self._stopped, self._ended = threading.Event(), False
        self._received, self._start = 0, 0.0

    def __iter__(self) -> Iterator[Frame]:
        thread = threading.Thread(target=self._read, name="lineage live", daemon=True)
        thread.start()
        try:
            while frame := self._take():
                yield frame
        finally:
            self.stop()
            thread.join(JOIN_SECONDS)  # it may wait for data, until its timeout
        if self._error:
            yield failed_frame(self.name, self._error)

    def count(self) -> None:
        """Return None: the end is not known."""

    def stop(self) -> None:
        """End the iteration."""
        self._stopped.set()

    def _take(self) -> Frame | None:
        """Wait for a frame that was not yielded yet. Return None at the end."""
        with self._changed:
            while self._newest is None and not self._ended and not self._stopped.is_set():
                self._changed.wait(0.1)  # a signal handler cannot notify: it may have interrupted this very thread
            frame, self._newest = self._newest, None
            return None if self._stopped.is_set() else frame

    def _read(self) -> None:
        """Read until `stop`, or until all attempts to connect again failed."""
        try:
            failures = 0
            while True:
                before = self._received
                error = self._read_connection()
                failures = 0 if self._received > before else failures
                if self._stopped.is_set():
                    return
                if failures == len(DELAYS):
                    self._error = ImageError(f"lost, {failures} attempts to connect again failed; {error}")
                    return
                self._wait(error, DELAYS[failures])
                failures += 1
        finally:
            self._ended = True

    def _read_connection(self) -> str:
        """Read one connection until it ends. Return why it ended."""
        try:
            first, self._first = self._first, None
            for load in first if first is not None else self._connect():
                self._put(load)
                if self._stopped.is_set():
                    break
        except ImageError as error:
            return str(error)
        return "it ended"

    def _wait(self, error: str, delay: float) -> None:
        LOG.warning("%s: connection lost (%s), connecting again in %g s", self.name, error, delay)
        self._stopped.wait(delay)

    def _put(self, load: Load) -> None:
        now = time.monotonic()
        self._start = self._start or now
        frame = Frame(self.name, load, self._received, now - self._start)
        self._received += 1
        with self._changed:
            self._newest = frame
            self._changed.notify()
