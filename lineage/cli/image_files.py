"""Image files for the command line: find them, and write drawn copies that never replace them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import ImageError, LineageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def find(sources: Iterable[str]) -> list[Path]:
    """Expand files, folders and patterns (`*`, `?`, `**`) into image files, each once, in a stable order.

    A folder gives the images directly in it. What matches nothing stays in the list: reading it will say why.
    """
    found = [path for source in sources for path in _expand(source)]
    return list(dict.fromkeys(found))


def read(path: Path) -> bytes:
    """Read a file; ImageError says why it cannot be."""
    if path.is_dir():
        raise ImageError(f"no images in this folder; expected files ending in {' '.join(SUFFIXES)}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error


def plan_copies(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Give every image a file in `folder`: its own name, with -2, -3 ... where two images have the same.

    LineageError where a copy would replace one of the images, under whatever name.
    """
    originals = {_identity(path) for path in paths if path.exists()}
    copies: dict[Path, Path] = {}
    taken: set[str] = set()
    for path in paths:
        copies[path] = copy = _free_name(folder, path, taken)
        if copy.exists() and _identity(copy) in originals:
            raise LineageError(f"--save {folder}: {copy} is one of the images to be read; choose another folder")
    return copies


def write(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image (H, W, 3) in the format that the suffix names; ImageError where that format cannot hold it."""
    written, data = cv2.imencode(path.suffix, image[..., ::-1])
    if not written:
        raise ImageError(f"{image.shape[1]} x {image.shape[0]} pixels cannot be written as {path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def _expand(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()) or [path]
    if path.exists() or not glob.has_magic(source):
        return [path]
    matches = (Path(match) for match in glob.glob(source, recursive=True))
    return sorted(p for p in matches if p.suffix.lower() in SUFFIXES and p.is_file()) or [path]


def _free_name(folder: Path, path: Path, taken: set[str]) -> Path:
    """Find a name not taken yet, also not on file systems that ignore case, with a suffix that can be written."""
    suffix = path.suffix if path.suffix.lower() in SUFFIXES else f"{path.suffix}.jpg"
    name, number = path.stem + suffix, 2
    while name.casefold() in taken:
        name, number = f"{path.stem}-{number}{suffix}", number + 1
    taken.add(name.casefold())
    return folder / name


def _identity(path: Path) -> tuple[int, int]:
    """Tell files apart by what they are, not what they are called: links lead to the same file."""
    status = path.stat()
    return status.st_dev, status.st_ino
