"""Images as files, which is how they are sent."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lineage.client.errors import ImageError
from lineage.inputs import Image, ImageFile, read

FAST: Final = 1  # PNG compression level: higher ones cost more time than the network saves


def load(image: Image) -> ImageFile:
    """Return an image as a file. Arrays and Pillow images become PNG, which keeps every pixel.

    Raises:
        ImageError: The file cannot be read.
        TypeError: The object is no image.
    """
    try:
        read_image = read(image)
    except OSError as error:
        raise ImageError(f"expected a readable image file; got {error}", title="File unreadable") from error
    return ImageFile(None, encode_png(read_image)) if isinstance(read_image, np.ndarray) else read_image


def load_all(images: Sequence[Image]) -> list[ImageFile | ImageError]:
    """Return images as files. For one that cannot be read, return its error."""
    return [_load_or_error(image) for image in images]


def _load_or_error(image: Image) -> ImageFile | ImageError:
    try:
        return load(image)
    except ImageError as error:
        return error


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGB array (H, W, 3) as PNG."""
    cv2 = require_opencv("arrays")
    _, png = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, FAST])
    return bytes(png)


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGB array (H, W, 3) as JPEG of quality 95: PNG takes longer than the network of a camera allows."""
    _, jpeg = require_opencv("frames").imencode(".jpg", image[..., ::-1])
    return bytes(jpeg)


def require_opencv(what: str) -> ModuleType:
    """Return the module cv2, which `what` need.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} need OpenCV; run: pip install opencv-python-headless", name="cv2") from error
