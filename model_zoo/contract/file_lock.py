"""An exclusive lock between processes."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

MAX_WAIT: Final = 10.0
_PAUSE: Final = 0.01


@contextmanager
def file_lock(path: Path, seconds: float = MAX_WAIT) -> Iterator[None]:
    """Hold the lock of a file, which is created if it is missing. The lock of a dead process is released.

    Raises:
        OSError: the file cannot be written.
        TimeoutError: another process holds the lock for longer than `seconds`.
    """
    with open(path, "wb") as file:
        _lock(file, seconds)
        yield


def _lock(file: BinaryIO, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise TimeoutError(f"another change has not ended within {seconds:g} s; try again") from None
            time.sleep(_PAUSE)
        else:
            return
