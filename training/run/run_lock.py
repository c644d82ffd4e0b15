"""Lock of a run: one process at a time trains in its folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from model_zoo.contract.errors import LineageError

LOCK: Final = ".lock"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which ends with the process at the latest.

    It is a POSIX record lock: it works on network file systems too, and loader processes do not inherit it.

    Raises:
        LineageError: Another process holds the lock.
    """
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise LineageError(f"{folder}: {_holder(file.read())}; wait until it ends, or stop it") from error
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _holder(text: str) -> str:
    pid, _, host = text.strip().partition(" ")
    return f"in use by process {pid} on {host}" if pid and host else "in use by another process"
