"""How much memory is still free, here and in a container."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]  # it has no types


class Group(NamedTuple):
    """Where one version of Linux's control groups tells a container's limit, its use, and the caches it can drop."""

    limit: str
    used: str
    droppable: str


GROUPS = (
    Group("memory.max", "memory.current", "inactive_file"),
    Group("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that may still be taken: of the machine, or of the container where that has less."""
    machine = int(psutil.virtual_memory().available)
    return min(machine, *(_free_in_group(groups, group, machine) for group in GROUPS))


def _free_in_group(root: Path, group: Group, otherwise: int) -> int:
    try:
        limit, used = (int((root / name).read_text()) for name in (group.limit, group.used))
        statistics = (root / group.limit).with_name("memory.stat").read_text().split()
        return limit - used + int(statistics[statistics.index(group.droppable) + 1])
    except (OSError, ValueError):  # another version, no container, or a limit of "max"
        return otherwise
