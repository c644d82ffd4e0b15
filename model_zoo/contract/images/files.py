"""Find, read and write image files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import ImageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.images.decode import check_length

WRITTEN_SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff")
IMAGE_SUFFIXES: Final = (*WRITTEN_SUFFIXES, ".heic", ".heif", ".hif")
_ENCODERS: Final = {".jfif": ".jpg"}  # suffixes that OpenCV does not know


def find_images(sources: str | Path | Iterable[str | Path], suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Expand files, folders and patterns (`*`, `?`, `**`) into image files, without duplicates, in a stable order.

    A folder yields the images directly in it. A source that matches nothing is kept as it is, so that reading it raises
    an error that names it. `suffixes` are those of the files to find in folders and by patterns.
    """
    sources = [sources] if isinstance(sources, str | Path) else sources
    paths = [path for source in sources for path in _expand(str(source), suffixes)]
    return list(dict.fromkeys(paths))


def read_image_file(path: str | Path) -> bytes:
    """Return the contents of a file.

    Raises:
        ImageError: The file cannot be read, or is a folder without images.
        ImageTooLarge: It has too many bytes.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"no images in this folder; expected files ending in {' '.join(IMAGE_SUFFIXES)}")
    try:
        check_length(path.stat().st_size)  # before it takes memory
        return path.read_bytes()
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image (H, W, 3) in the format of the suffix, creating the folder if needed.

    Raises:
        ImageError: The suffix is unknown, or the format cannot hold the image.
    """
    path = Path(path)
    data = encode_image(image, path.suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def encode_image(image: NDArray[np.uint8], suffix: str) -> bytes:
    """Return an RGB image (H, W, 3) as a file in the format of the suffix.

    Raises:
        ImageError: The suffix is unknown, or the format cannot hold the image.
    """
    if suffix.lower() not in WRITTEN_SUFFIXES:
        raise ImageError(f"expected a file name that ends in one of {' '.join(WRITTEN_SUFFIXES)}; got {suffix!r}")
    encoded, data = cv2.imencode(_ENCODERS.get(suffix.lower(), suffix), image[..., ::-1])
    if not encoded:
        raise ImageError(f"{format_size(image.shape)} pixels cannot be written as {suffix}")
    return data.tobytes()


def _expand(source: str, suffixes: Sequence[str]) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        return _images_among(path.iterdir(), suffixes) or [path]
    if path.exists() or not glob.has_magic(source):
        return [path]
    return _images_among(map(Path, _matches(source)), suffixes) or [path]


def _matches(pattern: str) -> Iterator[str]:
    """Yield the paths that match a pattern."""
    parts = pattern.split("/")
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    at = parts.index("**")
    rest = parts[at + 1 :] or ["*"]
    for start in glob.iglob("/".join([*parts[:at], ""])) if at else ["."]:
        for folder in _folders(start):
            yield from _matches(os.path.join(glob.escape(folder), *rest))


def _folders(start: str) -> Iterator[str]:
    """Yield a folder and those below it, each once: links may form a circle. Hidden ones are left out."""
    seen: set[tuple[int, int]] = set()
    for folder, names, _ in os.walk(start, followlinks=True):
        status = os.stat(folder)
        names[:] = sorted(name for name in names if not name.startswith("."))
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
        else:
            seen.add((status.st_dev, status.st_ino))
            yield folder


def _images_among(paths: Iterable[Path], suffixes: Sequence[str]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in suffixes and path.is_file())
