"""What has been read of a dataset, kept so that it need not be read again.

Everything lies in one folder per dataset, `<cache>/data/<hash of its path>/`, and can be deleted at any time. Labels
are kept under the hash of all they were read from, so they cannot be stale. What was found out about a file (its size,
its hash) holds as long as the file's size and its times of modification and change do. A damaged cache is made anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm  # type: ignore[import-untyped]  # it has no types

from model_zoo.cache_folder import cache_folder
from model_zoo.contract.files import write_atomic

READER = f"1, OpenCV {cv2.__version__}"  # raise the number when a reader reads something else from the same files
# A file can change twice within one tick of its file system's clock, and look as before: the times of files that are
# younger than this are not trusted. FAT counts in steps of two seconds.
SETTLED = 2.0
Fact = TypeVar("Fact")
Arrays = dict[str, NDArray[Any]]
_log = logging.getLogger(__name__)


def folder_of(root: Path) -> Path:
    """Return where the cache of a dataset lies."""
    return cache_folder() / "data" / _hash([os.path.abspath(root).encode()])[:16]


def key_of(sources: Iterable[bytes]) -> str:
    """Return the key of what is read from `sources` by the readers as they are now."""
    return _hash([READER.encode(), *sources])


def load_arrays(path: Path, key: str) -> Arrays | None:
    """Return the arrays that were kept under `key`; None where there are none, or those of another key."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files if name != "key"} if kept["key"] == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _log.warning("%s: the cache is damaged and made anew (%s)", path, error)
        return None


def keep_arrays(path: Path, key: str, arrays: Arrays) -> None:
    """Keep arrays under `key`, in the place of what was at `path`."""
    _write(path, lambda file: np.savez(file, allow_pickle=False, key=np.array(key), **arrays))


def facts(path: Path, files: Sequence[Path], find: Callable[[Path], Fact], title: str) -> list[Fact]:
    """Return what `find` tells of each file, from `path` where the file is as it was; facts are lists of JSON values.

    Many files are looked at at a time; a bar shows how far it is on a terminal. What is known when it is interrupted is
    kept.
    """
    known = _read_facts(path)
    wanted = {os.path.abspath(file): file for file in files}
    with ThreadPoolExecutor() as pool:
        stamps = dict(zip(wanted, pool.map(_stamp, wanted.values()), strict=True))
        new = [name for name, stamp in stamps.items() if not stamp or known.get(name, [None])[0] != stamp]
        found = {}
        try:
            outcomes = pool.map(find, (wanted[name] for name in new))
            bar = tqdm(outcomes, title, len(new), unit="file", leave=False, disable=None if new else True)
            for name, fact in zip(new, bar, strict=True):
                found[name] = fact
        finally:
            pool.shutdown(cancel_futures=True)
            _keep_facts(path, known, {name: [stamps[name], fact] for name, fact in found.items()})
    return [found[name] if name in found else known[name][1] for name in map(os.path.abspath, files)]


def _keep_facts(path: Path, known: dict[str, Any], new: dict[str, list[Any]]) -> None:
    now = time.time()
    settled = {name: fact for name, fact in new.items() if fact[0] and now - max(fact[0][1:]) / 1e9 > SETTLED}
    if settled:
        text = json.dumps({"reader": READER, "files": known | settled})
        _write(path, lambda file: file.write(text.encode()))


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_bytes())
        return dict(kept["files"]) if kept["reader"] == READER else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: the cache is damaged and made anew (%s)", path, error)
        return {}


def _stamp(path: Path) -> list[int]:
    """Return size, time of modification and time of change (which no copying tool can set back); empty if missing."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _write(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file whole or not at all; several processes may do so at once, and the cache may be read-only."""
    try:
        write_atomic(path, write)
    except OSError as error:
        _log.warning("%s: nothing is kept for the next time (%s)", path, error)


def _hash(parts: Iterable[bytes]) -> str:
    """Hash parts so that what moves from one to the next shows."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
