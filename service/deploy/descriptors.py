"""Limits on file descriptors: every connection needs one."""

from __future__ import annotations

import resource
from typing import Final

MAX_CONNECTIONS: Final = 10_000
DESCRIPTORS: Final = 16_384
_MIN_RESERVE: Final = 128


def raise_descriptor_limit() -> int:
    """Raise the soft limit towards the hard one, up to DESCRIPTORS, and return the limit in effect."""
    soft, hard = (DESCRIPTORS if limit == resource.RLIM_INFINITY else limit for limit in _limits())
    wanted = min(DESCRIPTORS, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, _limits()[1]))
    return max(soft, wanted)


def max_connections(descriptors: int, requested: int | None = None) -> int:
    """Return the largest number of connections that leaves descriptors for models, files and new connections."""
    available = max(descriptors - max(_MIN_RESERVE, descriptors // 4), descriptors // 4, 1)
    return min(requested or MAX_CONNECTIONS, available)


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)
