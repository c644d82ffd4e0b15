"""Collect what C libraries print to `stderr` while an image is decoded.

libjpeg reports damaged data only there, and OpenCV has no switch for it. The C variable `stderr` is therefore replaced
by a file in memory while images are decoded. File descriptor 2, which Python, logs and crash reports use, stays as it
is. Only glibc allows that. With other C libraries the lines appear on the terminal.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_BYTES: Final = 1 << 16  # the file in memory is emptied beyond this
_UNBUFFERED: Final = 2  # _IONBF of setvbuf


class CStderr:
    """The C variable `stderr`, and the file in memory that replaces it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        libc.fdopen.restype = ctypes.c_void_p
        self._descriptor = os.memfd_create("c_stderr")
        self._sink = libc.fdopen(os.dup(self._descriptor), b"a")
        libc.setvbuf(ctypes.c_void_p(self._sink), None, _UNBUFFERED, 0)
        self._variable = ctypes.c_void_p.in_dll(libc, "stderr")
        self._original = self._variable.value
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # another thread of the parent may hold the lock

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._active = 0
        self._exclusive = False
        self._variable.value = self._original

    @contextmanager
    def collect(self, exclusive: bool = False) -> Iterator[list[str]]:
        """Yield a list that has the lines printed by any thread after the block has ended.

        Args:
            exclusive: Run the block while no other block runs, so that the lines are this thread's alone.
        """
        lines: list[str] = []
        start = self._enter(exclusive)
        try:
            yield lines
        finally:
            lines += self._exit(start, exclusive)

    def _enter(self, exclusive: bool) -> int:
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive)
            self._exclusive = exclusive
            if exclusive:
                self._changed.wait_for(lambda: not self._active)
            if not self._active and os.fstat(self._descriptor).st_size > MAX_BYTES:
                os.truncate(self._descriptor, 0)
            self._active += 1
            self._variable.value = self._sink
            return os.fstat(self._descriptor).st_size

    def _exit(self, start: int, exclusive: bool) -> list[str]:
        with self._changed:
            self._active -= 1
            if exclusive:
                self._exclusive = False
            if not self._active:
                self._variable.value = self._original
                self._changed.notify_all()
            size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, min(size - start, MAX_BYTES), start).decode(errors="replace").splitlines()


class NoStderr:
    """Stand-in where `stderr` cannot be replaced."""

    @contextmanager
    def collect(self, exclusive: bool = False) -> Iterator[list[str]]:  # noqa: ARG002 - as CStderr
        """Yield an empty list."""
        yield []


def create() -> CStderr | NoStderr:
    """Return the collector of this process."""
    try:
        return CStderr() if platform.libc_ver()[0] == "glibc" else NoStderr()
    except (OSError, AttributeError, ValueError):  # such as no memfd_create in a sandbox
        return NoStderr()
