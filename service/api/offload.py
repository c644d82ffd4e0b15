"""Work on large inputs off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

LARGE: Final = 1 << 16  # bytes from which a thread is worth its overhead
# One thread: parsers hold the interpreter's lock, so more of them would only keep the event loop waiting for it.
_THREAD: Final = ThreadPoolExecutor(1, "offload")
P = ParamSpec("P")
T = TypeVar("T")


async def offload(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `work` returns, computed in a thread if its input of `size` bytes is large."""
    if size < LARGE:
        return work(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREAD, partial(work, *args, **kwargs))
