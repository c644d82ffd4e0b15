"""Free memory of the machine and of its container."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil


class CgroupFiles(NamedTuple):
    """Files of one version of Linux control groups."""

    limit: str
    """File with the memory limit."""
    used: str
    """File with the memory in use."""
    reclaimable: str
    """Key in memory.stat of the caches that the kernel can drop."""


CGROUP_VERSIONS = (
    CgroupFiles("memory.max", "memory.current", "inactive_file"),
    CgroupFiles("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the free bytes of the machine, or of the container if it has less."""
    machine = int(psutil.virtual_memory().available)
    return min(machine, *(_free_in_cgroup(cgroups, files, machine) for files in CGROUP_VERSIONS))


def _free_in_cgroup(root: Path, files: CgroupFiles, default: int) -> int:
    try:
        limit, used = (int((root / name).read_text()) for name in (files.limit, files.used))
        statistics = (root / files.limit).with_name("memory.stat").read_text().split()
        return limit - used + int(statistics[statistics.index(files.reclaimable) + 1])
    except (OSError, ValueError):  # another version, no container, or a limit of "max"
        return default
