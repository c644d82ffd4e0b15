"""Threads per inference: count the usable cores, and decide which inference may use all of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from loky import cpu_count

MAX_THREADS: Final = 8  # per inference: every session keeps its threads, though few are ever used at the same time
RECENT: Final = 3  # runs whose median counts, so that a single slow one does not
MAX_COST: Final = 0.03  # share of the time that trials of the slower choice may add
MIN_RUNS, MAX_RUNS = 8, 300  # between two trials


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


THREAD_BUDGET: Final = ThreadBudget()  # all models share the cores


class ThreadChoice:
    """Chooses between all cores and one thread for runs that may use all, by their measured times.

    Other programs may use the cores, which nothing in this process shows. Threads that wait for each other are then
    slower than one alone. The faster choice is used. The other one is tried again after so many runs that trials add
    3 % to the time. Recorded times must be comparable: seconds per pixel, for images of different sizes.
    """

    def __init__(self) -> None:
        self._times: dict[bool, deque[float]] = {use_all: deque(maxlen=RECENT) for use_all in (True, False)}
        self._use_all = True
        self._runs_until_trial: float = MIN_RUNS

    def choose(self) -> bool:
        """Return True if the next run should use all cores."""
        return self._use_all != (self._runs_until_trial <= 0)

    def record(self, use_all: bool, seconds: float) -> None:
        """Record the time of a run."""
        is_trial, times = use_all != self._use_all, self._times[use_all]
        if is_trial:
            times.clear()  # what was measured at another load is no longer true
        times.append(seconds)
        used, other = self._typical(self._use_all), self._typical(not self._use_all)
        self._runs_until_trial = _runs_between_trials(used, other) if len(times) == 1 else self._runs_until_trial - 1
        if other < used:
            self._use_all = not self._use_all
            if not is_trial:  # slower than the old times of the other choice: measure that again
                self._times[self._use_all].clear()
                self._runs_until_trial = MIN_RUNS

    def _typical(self, use_all: bool) -> float:
        """Return the median of recent times, 0 if there are none, so that both choices are tried."""
        return median(self._times[use_all] or [0.0])


def _runs_between_trials(used: float, other: float) -> float:
    return min(max((other / used - 1) / MAX_COST, MIN_RUNS), MAX_RUNS) if used else MIN_RUNS
