"""Images that callers pass: paths, bytes, files, arrays."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lineage.client.errors import ImageError


@runtime_checkable
class PillowImage(Protocol):
    """The part of a `PIL.Image.Image` that the client uses."""

    def convert(self, mode: str) -> Any:
        """Return the image in another mode."""

    def getexif(self) -> Any:
        """Return the metadata of the file."""


Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | NDArray[np.uint8] | PillowImage
ACCEPTED: Final = (
    "a path, the bytes of an image file, an open binary file, a uint8 array (H, W, 3) in RGB, or a Pillow image"
)
FAST: Final = 1  # PNG compression level: higher ones cost more time than the network saves


@dataclass(frozen=True)
class ImageFile:
    """An encoded image."""

    name: str | None
    """File name, if there is one."""
    data: bytes
    """Contents of the file."""


def load(image: Image) -> ImageFile:
    """Return an image as a file. Arrays and Pillow images become PNG, which keeps every pixel.

    Raises:
        ImageError: The file cannot be read.
        TypeError: The object is no image.
    """
    try:
        return _load(image)
    except OSError as error:
        raise ImageError(f"expected a readable image file; got {error}", title="File unreadable") from error


def load_all(images: Sequence[Image]) -> list[ImageFile | ImageError]:
    """Return images as files. For one that cannot be read, return its error."""
    return [_load_or_error(image) for image in images]


def _load_or_error(image: Image) -> ImageFile | ImageError:
    try:
        return load(image)
    except ImageError as error:
        return error


def _load(image: Image) -> ImageFile:
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return ImageFile(path.name, path.read_bytes())
    if isinstance(image, bytes | bytearray | memoryview):
        return ImageFile(None, bytes(image))
    if isinstance(image, np.ndarray):
        return ImageFile(None, encode_png(image))
    if isinstance(image, PillowImage):
        return ImageFile(None, encode_png(np.asarray(image.convert("RGB"))))
    if hasattr(image, "read"):
        return _read(image)
    raise TypeError(f"image: expected {ACCEPTED}; got {type(image).__name__}")


def _read(file: IO[bytes]) -> ImageFile:
    if isinstance(file, io.TextIOBase):
        raise TypeError("image: expected a file opened in binary mode, open(path, 'rb'); got a text file")
    name = getattr(file, "name", None)
    return ImageFile(os.path.basename(name) if isinstance(name, str) else None, bytes(file.read()))


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGB array (H, W, 3) as PNG.

    Raises:
        TypeError: The array is no image.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        hint = "; pass a list for several images" if image.ndim == 4 else ""
        raise TypeError(f"image: expected a uint8 array (H, W, 3) in RGB; got {image.dtype} {image.shape}{hint}")
    cv2 = require_opencv("arrays")
    _, png = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, FAST])
    return bytes(png)


def require_opencv(what: str) -> ModuleType:
    """Return the module cv2, which `what` need.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} need OpenCV; run: pip install opencv-python-headless", name="cv2") from error
