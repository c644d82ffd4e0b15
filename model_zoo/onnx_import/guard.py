"""Run a function on untrusted input in a child process, with limits on memory and time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final, TypeVar

from loky import BrokenProcessPool, ProcessPoolExecutor

from model_zoo.contract.errors import LineageError

MAX_SECONDS: Final = 600.0
BASE_MEMORY: Final = 4 * 2**30
T = TypeVar("T")


def run_guarded(
    function: Callable[..., T], *arguments: Any, memory: int = BASE_MEMORY, seconds: float = MAX_SECONDS
) -> T:
    """Call a function of a module in a child process, and return its result.

    Args:
        function: Function at the top of a module.
        arguments: Its arguments.
        memory: Max bytes that the child may allocate, where the system can limit it.
        seconds: Max time.

    Raises:
        LineageError: The function raised it, or the child crashed, ran out of memory or took too long.
    """
    executor = ProcessPoolExecutor(max_workers=1, initializer=_limit_memory, initargs=(memory,))
    try:
        return executor.submit(function, *arguments).result(timeout=seconds)  # type: ignore[no-any-return]
    except FutureTimeout as error:
        raise LineageError(f"expected a file that is imported within {seconds:g} s; it takes longer") from error
    except (BrokenProcessPool, MemoryError) as error:
        raise LineageError(
            f"expected a file that can be run with {memory / 2**30:.1f} GiB of memory; the process that ran it crashed "
            "or ran out of memory"
        ) from error
    finally:
        executor.shutdown(kill_workers=True)


def _limit_memory(limit: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on Windows, or above the hard limit
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
