"""Load of other programs on the cores of a run, which makes every step wait for its slowest thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import psutil
import torch

LIMIT: Final = 0.2  # fraction of the cores that others may use without a warning
WINDOW: Final = 30.0  # seconds of training that are judged at once
WAITING: Final = ("idle", "iowait", "guest", "guest_nice")  # the last two are part of `user` and `nice`


class CoreTimes(NamedTuple):
    """Counters at one moment, in seconds."""

    wall: float
    """Time on a clock."""
    busy: float
    """Time that all programs, or other guests of the host, spent on the cores of this process."""
    own: float
    """Time that this process and its loaders spent on them."""


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def read_times() -> CoreTimes:
    """Read the counters now."""
    cores = psutil.cpu_times(percpu=True)
    busy = sum(
        value
        for core in usable_cores()
        if core < len(cores)
        for kind, value in cores[core]._asdict().items()
        if kind not in WAITING
    )
    return CoreTimes(time.monotonic(), busy, time.process_time() + sum(map(_cpu_time, _descendants())))


class OtherLoad:
    """Cores that other programs use, since the last reading."""

    def __init__(self, read: Callable[[], CoreTimes] = read_times) -> None:
        self._read, self._before = read, read()

    def cores(self) -> float:
        """Return the mean number of cores that others used since the last call."""
        now, before = self._read(), self._before
        self._before = now
        others = (now.busy - before.busy) - (now.own - before.own)
        return max(others, 0.0) / max(now.wall - before.wall, 1e-9)


class ContentionWarning:
    """Warns once in a run that other programs slow it down."""

    def __init__(self, load: OtherLoad | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._load, self._clock = load or OtherLoad(), clock
        self._due, self._warned = clock() + WINDOW, False

    def poll(self) -> str:
        """Return a warning if a window has ended in which others used much, else an empty string."""
        if self._warned or self._clock() < self._due:
            return ""
        self._due = self._clock() + WINDOW
        text = describe_contention(self._load.cores(), len(usable_cores()), torch.get_num_threads())
        self._warned = bool(text)
        return text


def describe_contention(others: float, cores: int, threads: int) -> str:
    """Return a warning if `others` of the cores are used by other programs, with what to do, else an empty string."""
    if others <= LIMIT * cores:
        return ""
    advice = " If they cannot be stopped, interrupt the run (Ctrl-C) and resume it with --threads 1" * (threads > 1)
    return f"warning: other programs use {others:.1f} of {cores} cores, so training is slower. Stop them.{advice}"


def _descendants() -> list[psutil.Process]:
    try:
        processes: list[psutil.Process] = psutil.Process().children(recursive=True)
    except psutil.Error:
        return []
    return processes


def _cpu_time(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended
        return 0.0
    return float(times.user + times.system)
