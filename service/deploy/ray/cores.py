"""The cores of a replica: as many threads as Ray has reserved CPUs."""

from __future__ import annotations

import os
from pathlib import Path


def limit_threads(cpus: float) -> int:
    """Make this process use as many threads as CPUs are reserved for it, at least one, and return their number."""
    count = max(1, int(cpus))
    os.environ["LOKY_MAX_CPU_COUNT"] = str(count)  # what `loky.cpu_count` returns at most
    return count


def core_group(cores: list[int], index: int, count: int) -> list[int]:
    """Return the `index`-th group of `count` cores. Groups begin again after the last whole one."""
    groups = max(1, len(cores) // count)
    start = index % groups * count
    return cores[start : start + count]


def pin(index: int, count: int) -> None:
    """Pin all threads of this process to a group of cores."""
    group = core_group(sorted(os.sched_getaffinity(0)), index, count)
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), group)
