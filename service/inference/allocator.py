"""The memory allocator of the process. On systems without glibc, nothing happens."""

from __future__ import annotations

import ctypes
from typing import Final

from loky import cpu_count

M_ARENA_MAX: Final = -8  # malloc.h
_LIBC: Final = ctypes.CDLL(None)


def limit_arenas() -> None:
    """Limit the arenas of all threads to the number of cores, at least 2. Call it before threads start.

    glibc makes up to 8 arenas per core. Each keeps freed memory, so a server that swaps models grows.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(M_ARENA_MAX, max(2, int(cpu_count())))


def release_memory() -> None:
    """Return freed memory to the operating system. glibc keeps hundreds of megabytes of a closed model otherwise."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
