"""The memory allocator of the process. On systems without glibc, nothing happens."""

from __future__ import annotations

import ctypes
from typing import Final

from loky import cpu_count

# malloc.h
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
MAX_REUSED: Final = 8 << 20  # bytes of a decoded image or canvas
MAX_KEPT: Final = 16 << 20  # bytes of freed memory at the end of each arena
_LIBC: Final = ctypes.CDLL(None)


def limit_arenas() -> None:
    """Limit the arenas of all threads to the number of cores, at least 2. Call it before threads start.

    glibc makes up to 8 arenas per core. Each keeps freed memory, so a server that swaps models grows.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(M_ARENA_MAX, max(2, int(cpu_count())))


def reuse_memory() -> None:
    """Keep some freed memory for the next images. Call it before threads start.

    By default, glibc often returns it, and the pages of every image are then mapped and cleared again.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(M_MMAP_THRESHOLD, MAX_REUSED)
        _LIBC.mallopt(M_TRIM_THRESHOLD, MAX_KEPT)


def release_memory() -> None:
    """Return freed memory to the operating system. glibc keeps hundreds of megabytes of a closed model otherwise."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
