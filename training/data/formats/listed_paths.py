r"""Find files by names that were written on another machine, by another system or for another working folder.

A dataset that was moved still has paths such as `C:\work\birds\images\1.jpg` or `/content/birds/images/1.jpg` in its
lists. The end of such a path is still right: leading folders are dropped until files are found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from model_zoo.contract.files import text_encoding

MAX_PROBED = 50  # names that are looked up to decide where files are
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")


def read_lines(file: Path) -> list[str]:
    """Return the lines of a list without white space around them, in UTF-8, or in UTF-16 with a byte order mark.

    Names in other encodings are reported later as missing images.
    """
    data = file.read_bytes()
    text = data.decode(text_encoding(data), errors="replace")
    return [line.strip().strip("\"'") for line in text.splitlines()]


def path_parts(name: str) -> list[str]:
    """Return the parts of a path or URL in any notation, without drive, server, `.` and `..`."""
    if _URL.match(name):
        name = unquote(urlsplit(name).path)
    parts = _DRIVE.sub("", name.replace("\\", "/"), count=1) if _DRIVE.match(name) else name.replace("\\", "/")
    return [part for part in parts.split("/") if part not in ("", ".", "..")]


def is_foreign(name: str) -> bool:
    """Return whether a path is absolute, leaves its folder, or is not in the notation of this system."""
    return name.startswith(("/", "..")) or "\\" in name or bool(_URL.match(name) or _DRIVE.match(name))


def locate(names: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """Return the file of each name, all found in the same way.

    Names are tried as written in each folder, and then with more and more leading folders dropped. The first way that
    finds one of the first names is used. If none does, names are relative to the first folder.
    """
    for paths in _ways(names, folders):
        if any(map(os.path.isfile, paths[:MAX_PROBED])):
            return paths
    return [folders[0] / name for name in names]


def _ways(names: Sequence[str], folders: Sequence[Path]) -> Iterator[list[Path]]:
    for folder in folders:
        yield [folder / name for name in names]
    parts = [path_parts(name) or [name] for name in names]
    for dropped in range(max(map(len, parts), default=0)):
        ends = [Path(*part[min(dropped, len(part) - 1) :]) for part in parts]
        if len(set(ends)) < len(set(names)):
            return  # two names would mean the same file
        for folder in folders:
            yield [folder / end for end in ends]
