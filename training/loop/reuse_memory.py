"""Memory of a run on a CPU: keep what a step frees for the next step.

By default, the C library returns large blocks to the system at once. Every map of every step then consists of new
pages, which the system fills with zeros at the first access to each. Keeping them saves about a twentieth of a step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt(3)
KEEP: Final = {MMAP_MAX: 0, TRIM_THRESHOLD: -1}  # no blocks outside the heap, and a heap that never shrinks
DEFAULTS: Final = {MMAP_MAX: 65_536, TRIM_THRESHOLD: 128 * 1024}


@contextmanager
def reuse_memory() -> Iterator[None]:
    """Keep freed memory in this process until the context ends. Other C libraries than glibc are left as they are."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        yield
        return
    try:
        _set(library, KEEP)
        yield
    finally:
        _set(library, DEFAULTS)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, parameters: dict[int, int]) -> None:
    for parameter, value in parameters.items():
        library.mallopt(parameter, value)
