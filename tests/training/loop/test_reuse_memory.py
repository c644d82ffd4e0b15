"""Freed memory stays in the process during a run, and returns to the system after it."""

from __future__ import annotations

import ctypes
import resource

import pytest
import torch

from training.loop.reuse_memory import reuse_memory

PAGES = 16_384
BYTES = PAGES * 4096


def faults() -> int:
    """Return the page faults of filling a block of 64 MiB and freeing it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(BYTES, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc")
def test_pages_are_reused_during_a_run_and_returned_after_it() -> None:
    with reuse_memory():
        assert min(faults() for _ in range(8)) < PAGES / 8  # small blocks may split a free one
    assert faults() > PAGES / 2  # the pages were returned


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with reuse_memory():
        pass
