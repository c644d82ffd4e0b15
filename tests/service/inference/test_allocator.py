"""Memory of threads, in a process of its own: arenas cannot be removed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service.inference import allocator

COUNT_ARENAS = """
import ctypes, threading
from service.inference import allocator
allocator.cpu_count = lambda: 1
if {limit}: allocator.limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
everyone = threading.Barrier(6)
def allocate():
    libc.malloc(1000)
    everyone.wait()
threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""


@pytest.mark.skipif(not hasattr(allocator._LIBC, "mallopt"), reason="needs glibc")
def test_threads_share_arenas() -> None:
    assert arenas(limit=False) > 2
    assert arenas(limit=True) <= 2


def arenas(*, limit: bool) -> int:
    code = COUNT_ARENAS.format(limit=limit)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.count("Arena ")


COUNT_FAULTS = """
import resource
import numpy as np
from service.inference import allocator
if {reuse}: allocator.reuse_memory()
def work():
    images = [np.ones(2_000_000, np.uint8) for _ in range(4)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(allocator._LIBC, "mallopt"), reason="needs glibc")
def test_memory_of_images_is_reused() -> None:
    """Each round of four images has 1,953 pages of 4 KiB."""
    faults = {
        reuse: int(subprocess.check_output([sys.executable, "-c", COUNT_FAULTS.format(reuse=reuse)]))
        for reuse in (False, True)
    }
    assert faults[True] < 100
    assert faults[False] > faults[True]


def test_memory_is_released_on_any_system(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator.release_memory()
    monkeypatch.setattr(allocator, "_LIBC", object())
    allocator.limit_arenas()
    allocator.reuse_memory()
    allocator.release_memory()
