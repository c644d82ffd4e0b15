"""Check before any work that its result can be written.

Permissions lie for root and on special file systems, so the checks create a temporary entry beside the target.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

from model_zoo.contract.card import NAME
from model_zoo.contract.errors import LineageError

MAX_NAME_BYTES = 255  # of file systems on Linux and macOS


def check_file_target(path: str | Path) -> None:
    """Check that a file can be written, without changing what is there.

    Raises:
        LineageError: The path is a folder, a device or a write-protected file, its folder does not exist, or nothing
            can be written there.
    """
    path = Path(path)
    try:
        if os.path.lexists(path) and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise LineageError(f"{path}: expected the path of a file to write; it is {kind}")
        if path.exists() and not (os.access(path, os.W_OK) and path.stat().st_mode & 0o222):  # renaming needs neither
            raise LineageError(f"{path}: cannot be written, because the file there is write-protected")
        if not path.parent.is_dir():
            raise LineageError(f"{path}: cannot be written, because the folder {path.parent} does not exist")
        _check_length(path)
        with tempfile.NamedTemporaryFile(prefix=".", dir=path.parent):
            pass
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def check_folder_target(path: str | Path) -> None:
    """Check that files can be written to a folder, which is created later if it does not exist.

    Raises:
        LineageError: The path or one above it is a file, or nothing can be written there.
    """
    path = Path(path)
    existing = path
    try:
        _check_length(path)
        while not os.path.lexists(existing):
            existing = existing.parent
        if not existing.is_dir():
            raise LineageError(f"{path}: expected a folder to write to; {existing} is a file")
        os.rmdir(tempfile.mkdtemp(prefix=".", dir=existing))
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def check_name(name: str | None) -> None:
    """Check the text of --name, if it is given.

    Raises:
        LineageError: It is no safe name of a folder.
    """
    if name is not None and not NAME.fullmatch(name):
        raise LineageError(
            "--name: expected letters, digits, dots, hyphens and underscores, at most 100, that start with a letter or "
            f"digit; got {name[:100]!r}"
        )


def name_from(path: str | Path) -> str:
    """Return a name for a model from the name of a file or folder: `my net (1).pt` becomes `my-net-1`."""
    stem = Path(path).resolve().name if os.path.isdir(path) else Path(path).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "model"


def _check_length(path: Path) -> None:
    """Raise OSError if a part of the path is too long for the file system."""
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in path.parts):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))


def _unwritable(path: Path, error: Exception) -> LineageError:
    if isinstance(error, LineageError):
        return error
    return LineageError(f"{str(path)[:300]}: cannot be written ({getattr(error, 'strerror', None) or error})")
