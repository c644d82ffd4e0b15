"""Progress of long tasks: a bar on a terminal, else a line at least once a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS: Final = 60.0  # between two lines


class LineTimer:
    """Decides when the next line is due, and estimates the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self._last = self._start

    def due(self) -> bool:
        """Return True if the last line, or the start, is SECONDS ago. The next line is due SECONDS later."""
        now = self._clock()
        if now - self._last < SECONDS:
            return False
        self._last = now
        return True

    def status(self, done: int, total: int | None, unit: str) -> str:
        """Return how many units are done, their rate and the time left.

        Args:
            done: Units since the start of the timer.
            total: Units from the start to the end, None if unknown.
            unit: Name of many units.
        """
        seconds = max(self._clock() - self._start, 1e-9)
        rate = done / seconds
        if total is None:
            return f"{done:,} {unit}, {rate:.3g} {unit}/s"
        left = f"{timedelta(seconds=round((total - done) / rate))} left" if done else "time left unknown"
        return f"{done:,} of {total:,} {unit}, {rate:.3g} {unit}/s, {left}"


class Progress:
    """Progress of a task, shown on stderr. Use it in a `with` block. The number of units may be unknown (None)."""

    def __init__(self, description: str, total: int | None, unit: str = "image") -> None:
        self._description, self._total, self._unit, self._done = description, total, f"{unit}s", 0
        hidden = (total is not None and total < 2) or not sys.stderr.isatty()
        self._timer = LineTimer() if hidden else None
        self._bar = tqdm(total=total, desc=description, unit=unit, leave=False, disable=hidden)

    def update(self, count: int = 1) -> None:
        """Add completed units."""
        self._done += count
        self._bar.update(count)
        if self._timer and self._timer.due():
            line = f"{self._description}: {self._timer.status(self._done, self._total, self._unit)}"
            tqdm.write(line, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()


def track(items: Iterable[T], description: str, total: int | None, unit: str = "image") -> Iterator[T]:
    """Yield items, and show how many of `total`, if it is known, were yielded."""
    with Progress(description, total, unit) as progress:
        for item in items:
            yield item
            progress.update()
