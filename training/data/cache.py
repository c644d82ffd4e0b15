"""Cache of parsed labels and image information, one folder per dataset: `<cache>/data/<hash of its path>/`.

The folder can be deleted at any time. Labels are stored under the hash of everything they were read from, so they
cannot be stale. Information about a file is valid while its size and its modification and change times stay the same.
A corrupt cache is rebuilt.
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

from model_zoo.contract.cache_folder import cache_folder
from model_zoo.contract.files import write_atomic
from model_zoo.progress import track

VERSION = f"3, OpenCV {cv2.__version__}"  # increase the number when a reader returns something else for the same files
# A file can change twice within one tick of its file system's clock and keep its times. Times of files younger than
# this many seconds are not trusted; FAT has a resolution of two seconds.
MIN_AGE = 2.0
MAX_THREADS = 8  # each may decode an image of the largest size at the same time
Info = TypeVar("Info")
Arrays = dict[str, NDArray[Any]]
_log = logging.getLogger(__name__)


def dataset_folder(root: Path) -> Path:
    """Return the cache folder of a dataset."""
    return cache_folder() / "data" / _hash([os.path.abspath(root).encode()])[:16]


def cache_key(sources: Iterable[bytes]) -> str:
    """Return the key for data read from `sources` by the current readers."""
    return _hash([VERSION.encode(), *sources])


def load_arrays(path: Path, key: str) -> Arrays | None:
    """Return the arrays stored at `path`, or None if there are none or they have another key."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if name != "key"} if stored["key"] == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _log.warning("%s: cache is corrupt and will be rebuilt (%s)", path, error)
        return None


def save_arrays(path: Path, key: str, arrays: Arrays) -> None:
    """Store arrays under `key`, overwriting the file at `path`."""
    _write(path, lambda file: np.savez(file, allow_pickle=False, key=np.array(key), **arrays))


def cached_file_info(path: Path, files: Sequence[Path], read: Callable[[Path], Info], title: str) -> list[Info]:
    """Return `read(file)` for each file, from the cache at `path` if the file is unchanged.

    `read` returns a tuple of JSON values. Files are read in parallel, showing their progress. Results are
    stored even if reading is interrupted.
    """
    cached = _load_info(path)
    by_name = {os.path.abspath(file): file for file in files}
    with ThreadPoolExecutor(MAX_THREADS) as pool:
        versions = dict(zip(by_name, pool.map(_file_version, by_name.values()), strict=True))
        changed = [name for name, now in versions.items() if not now or cached.get(name, [None])[0] != now]
        results: dict[str, Info] = {}
        try:
            infos = pool.map(read, (by_name[name] for name in changed))
            for name, info in zip(changed, track(infos, title, len(changed), "file"), strict=True):
                results[name] = info
        finally:
            pool.shutdown(cancel_futures=True)
            _save_info(path, cached, {name: [versions[name], info] for name, info in results.items()})
    return [results[name] if name in results else cached[name][1] for name in map(os.path.abspath, files)]


def _save_info(path: Path, cached: dict[str, Any], new: dict[str, list[Any]]) -> None:
    now = time.time()
    trusted = {name: info for name, info in new.items() if info[0] and now - max(info[0][1:]) / 1e9 > MIN_AGE}
    if trusted:
        text = json.dumps({"reader": VERSION, "files": cached | trusted})
        _write(path, lambda file: file.write(text.encode()))


def _load_info(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
        return dict(document["files"]) if document["reader"] == VERSION else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: cache is corrupt and will be rebuilt (%s)", path, error)
        return {}


def _file_version(path: Path) -> list[int]:
    """Return size, modification time and change time, or an empty list if the file is missing.

    Copy tools can restore the modification time but not the change time.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _write(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file atomically. The cache may be read-only, and several processes may write at once."""
    try:
        write_atomic(path, write)
    except OSError as error:
        _log.warning("%s: cannot write the cache (%s)", path, error)


def _hash(parts: Iterable[bytes]) -> str:
    """Hash parts with their lengths, so that moving bytes between parts changes the hash."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
