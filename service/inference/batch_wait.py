"""Whether to wait for a batch to fill."""

from __future__ import annotations

from typing import Final

GAIN: Final = 1 / 8


class BatchWait:
    """Decides whether images wait for others, by the number that arrived together before.

    An arrival opens a window of `max_delay`, and the mean number of arrivals in a window is the batch that waiting
    gives. Images wait if that is at least half of a full batch. If it is less, they start at once: batches still form
    while all workers are busy. Windows count arrivals whether or not they waited, so a rise of load is noticed.
    """

    def __init__(self, max_batch: int, max_delay: float) -> None:
        self._enough, self._max_delay = max_batch / 2, max_delay
        self._mean = float(max_batch)
        self._opened, self._count = float("-inf"), 0

    def arrived(self, now: float) -> None:
        """Count an image that arrives now, in seconds of any clock that never goes back."""
        if now - self._opened <= self._max_delay:
            self._count += 1
            return
        if self._count:
            self._mean += (self._count - self._mean) * GAIN
        self._opened, self._count = now, 1

    @property
    def delay(self) -> float:
        """Seconds that an image may wait for others."""
        return self._max_delay if self._mean >= self._enough else 0.0
