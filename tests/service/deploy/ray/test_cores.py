"""Cores of a replica."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from loky import cpu_count

from service.deploy.ray.cores import core_group, limit_threads


@pytest.mark.parametrize(
    ("index", "count", "expected"),
    [(0, 1, [0]), (1, 1, [2]), (4, 1, [0]), (0, 2, [0, 2]), (1, 2, [4, 6]), (2, 2, [0, 2]), (1, 3, [0, 2, 4])],
)
def test_groups_of_cores_do_not_overlap(index: int, count: int, expected: list[int]) -> None:
    assert core_group([0, 2, 4, 6], index, count) == expected


@pytest.mark.parametrize(("cpus", "expected"), [(0, 1), (0.5, 1), (1.0, 1), (2.9, 2)])
def test_a_replica_has_as_many_threads_as_cpus(monkeypatch: pytest.MonkeyPatch, cpus: float, expected: int) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "64")
    assert limit_threads(cpus) == expected
    assert cpu_count() <= expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pinning needs Linux")
def test_pinning_holds_for_all_threads() -> None:
    program = """
import os, threading
from service.deploy.ray.cores import pin
waiting = threading.Event()
threading.Thread(target=waiting.wait).start()
pin(1, 1)
print({tuple(os.sched_getaffinity(int(name))) for name in os.listdir("/proc/self/task")})
waiting.set()
"""
    cores = sorted(os.sched_getaffinity(0))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str({(cores[1 % len(cores)],)})
