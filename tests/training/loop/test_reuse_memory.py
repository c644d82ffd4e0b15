"""Freed memory stays in the process during a run, and returns to the system after it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from training.loop.reuse_memory import reuse_memory

# In a process of its own: others may have kept memory before, and the number of page faults depends on their size.
PROGRAM = """
import os
from pathlib import Path
from training.loop.reuse_memory import reuse_memory

def grown():
    b"x" * (64 << 20)  # filled and freed
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (pages * os.sysconf("SC_PAGE_SIZE") >> 20) - start

start = 0
start = grown()
with reuse_memory():
    print(grown(), grown())
print(grown())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc")
def test_memory_is_kept_during_a_run_and_returned_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    kept, again, returned = map(int, done.stdout.split())
    assert 56 <= kept <= 72
    assert kept == pytest.approx(again, abs=4)
    assert returned <= 8


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with reuse_memory():
        pass
