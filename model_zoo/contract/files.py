"""Atomic file writes, guarded reads and file digests."""

from __future__ import annotations

import codecs
import errno
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


def write_atomic(path: str | Path, contents: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file atomically, creating its folder if needed.

    `contents` is the bytes, or a function that writes them to an open file. Readers see either the old file or the
    complete new one. The file gets default (umask) permissions.

    Raises:
        OSError: The file cannot be written, such as on a full disk. The error has the path.
    """
    path = Path(path)
    part = path.with_name(f".{uuid4().hex}")  # a longer name might not fit
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            if callable(contents):
                contents(file)
            else:
                file.write(contents)
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def read_text(path: str | Path) -> str:
    """Return the UTF-8 text of a regular file, without a byte order mark. Reading a named pipe would wait forever.

    Raises:
        OSError: It cannot be read, or is no regular file.
        UnicodeDecodeError: It has another encoding.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "expected a regular file", str(path))
    return path.read_text(encoding="utf-8-sig")


def text_encoding(data: bytes) -> str:
    """Return the codec of a text by its first bytes: UTF-16 with a byte order mark, else UTF-8 with or without one."""
    return "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hex, as manifests and model cards record it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
