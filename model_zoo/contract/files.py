"""Atomic file writes and file digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomic(path: Path, contents: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file atomically, creating its folder if needed.

    `contents` is the bytes, or a function that writes them to an open file. Readers see either the old file or the
    complete new one. The file gets default (umask) permissions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            if callable(contents):
                contents(file)
            else:
                file.write(contents)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex, as manifests and model cards record it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
