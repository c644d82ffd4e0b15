"""The folders of a model repository: which are models and versions, and which belong to something else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from model_zoo.contract import manifest
from model_zoo.contract.errors import PackageError

VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
ALIAS: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
PACKAGE_FILES: Final = frozenset((manifest.MODEL, manifest.CARD, manifest.MANIFEST))


def folders(parent: Path) -> list[Path]:
    """List the folders in a folder, without those that start with a dot. A missing folder is empty.

    Raises:
        PackageError: the folder is a file, or cannot be read.
    """
    try:
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry))
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise PackageError(f"{parent}: expected a folder; got a file") from error
    except OSError as error:
        raise PackageError(f"{parent}: cannot read the folder ({error.strerror})") from error
    return [parent / name for name in names]


def version_numbers(model: Path) -> list[int]:
    """List the versions in the folder of a model in ascending order, including damaged ones.

    Raises:
        PackageError: the folder cannot be read.
    """
    return sorted(int(f.name) for f in folders(model) if VERSION.fullmatch(f.name) and _may_be_package(f))


def _may_be_package(folder: Path) -> bool:
    """Return False for a folder of other files, such as one of images sorted by year."""
    try:
        names = os.listdir(folder)
    except OSError:  # reported when the package is opened
        return True
    return not names or not PACKAGE_FILES.isdisjoint(names)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False
