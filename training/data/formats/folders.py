"""Find files below a folder: links are followed once, hidden and system files are skipped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images.files import IMAGE_SUFFIXES as SUPPORTED_SUFFIXES
from model_zoo.contract.plural import plural
from training.data.validation.findings import Finding

# Images in other formats are reported rather than skipped.
OTHER_SUFFIXES = [
    ".gif",
    ".avif",
    ".jxl",
    ".jp2",
    ".j2k",
    ".mpo",
    ".svg",
    ".ico",
    ".ppm",
    ".pgm",
    ".pnm",
    ".tga",
    ".psd",
    ".exr",
    ".hdr",
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
]
IMAGE_SUFFIXES = frozenset((*SUPPORTED_SUFFIXES, *OTHER_SUFFIXES))
# Folders and files that macOS, Windows, Linux and network storage create, besides names that start with a dot.
SYSTEM_NAMES = frozenset(
    (
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "desktop.ini",
    )
)


class FoundFiles(NamedTuple):
    """Files below a folder."""

    files: list[Path]
    """Files with a wanted suffix, sorted."""
    hidden: list[Path]
    """Hidden folders, and hidden files with a wanted suffix, which were skipped."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name belongs to the system or to a tool."""
    return (name.startswith((".", "~$")) and name != "..") or name.lower() in SYSTEM_NAMES


def visible(paths: Iterable[Path]) -> list[Path]:
    """Return the paths whose names are not hidden, sorted."""
    return sorted(path for path in paths if not is_hidden(path.name))


def find_files(folder: Path, suffixes: Collection[str]) -> FoundFiles:
    """Find files below a folder by their lower-case suffixes.

    Links to folders are followed after all real folders. A folder that several links reach is read once, and links to
    a folder that contains `folder` are ignored.

    Raises:
        LineageError: A folder cannot be read.
    """
    found = FoundFiles([], [])
    pending, visited = deque([folder]), set[str]()
    while pending:
        for place, directories, names in os.walk(pending.popleft(), onerror=_raise_unreadable):
            shown = [name for name in directories if not is_hidden(name)]
            found.hidden.extend(Path(place, name) for name in set(directories).difference(shown))
            _add_files(found, place, names, suffixes)
            links = [name for name in sorted(shown) if os.path.islink(os.path.join(place, name))]
            pending.extend(Path(place, name) for name in links if not _contains(Path(place, name), folder))
            visited.add(os.path.realpath(place))
            real = (name for name in shown if name not in links)
            directories[:] = [name for name in real if os.path.realpath(os.path.join(place, name)) not in visited]
        while pending and os.path.realpath(pending[0]) in visited:
            pending.popleft()
    return FoundFiles(sorted(found.files), sorted(found.hidden))


def hidden_note(path: Path, hidden: Collection[Path]) -> list[Finding]:
    """Return a finding that counts the skipped files, if there are any."""
    if not hidden:
        return []
    text = f"{plural(len(hidden), 'hidden entry')} skipped, such as {min(hidden)}; delete them, or ignore this note"
    return [Finding("hidden-files", path, 0, text)]


def _add_files(found: FoundFiles, place: str, names: Iterable[str], suffixes: Collection[str]) -> None:
    for name in names:
        path = Path(place, name)
        if path.suffix.lower() in suffixes:
            (found.hidden if is_hidden(name) else found.files).append(path)


def _contains(link: Path, folder: Path) -> bool:
    """Return whether a link leads to `folder` or to a folder around it, so that following it would not end."""
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(link))


def _raise_unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise LineageError(f"{error.filename}: cannot read the folder: {error.strerror}") from error
