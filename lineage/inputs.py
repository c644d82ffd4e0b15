"""Images that callers pass: paths, bytes, files, arrays."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class PillowImage(Protocol):
    """The used part of a `PIL.Image.Image`."""

    def convert(self, mode: str) -> Any:
        """Return the image in another mode."""

    def getexif(self) -> Any:
        """Return the metadata of the file."""


Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | NDArray[np.uint8] | PillowImage
ACCEPTED: Final = (
    "a path, the bytes of an image file, an open binary file, a uint8 array (H, W, 3) in RGB, or a Pillow image"
)


@dataclass(frozen=True)
class ImageFile:
    """An encoded image."""

    name: str | None
    """File name, if there is one."""
    data: bytes
    """Contents of the file."""


def read(image: Image) -> ImageFile | NDArray[np.uint8]:
    """Return the contents of an image file, or the RGB pixels (H, W, 3) of an array or a Pillow image.

    Raises:
        OSError: The file cannot be read.
        TypeError: The object is no image.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return ImageFile(path.name, path.read_bytes())
    if isinstance(image, bytes | bytearray | memoryview):
        return ImageFile(None, bytes(image))
    if isinstance(image, np.ndarray):
        return _check_pixels(image)
    if isinstance(image, PillowImage):
        return np.asarray(image.convert("RGB"))
    if hasattr(image, "read"):
        return _read_open(image)
    raise TypeError(f"image: expected {ACCEPTED}; got {type(image).__name__}")


def _read_open(file: IO[bytes]) -> ImageFile:
    if isinstance(file, io.TextIOBase):
        raise TypeError("image: expected a file opened in binary mode, open(path, 'rb'); got a text file")
    name = getattr(file, "name", None)
    return ImageFile(os.path.basename(name) if isinstance(name, str) else None, bytes(file.read()))


def _check_pixels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        hint = "; pass a list for several images" if image.ndim == 4 else ""
        raise TypeError(f"image: expected a uint8 array (H, W, 3) in RGB; got {image.dtype} {image.shape}{hint}")
    return image
