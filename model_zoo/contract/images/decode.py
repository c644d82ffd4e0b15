"""Bytes of a picture file -> RGB uint8 (H, W, 3), as displayed.

JPEG, PNG, WebP, TIFF and BMP are told by their first bytes, never by a name; everything else is refused, by what it
looks like. The header is read by hand and held against the limits before anything is decoded, and only what the pixels
need reaches the decoder (see `image_headers`). Damaged files are errors, not half-gray pictures.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from cv2.utils import logging as cv2_logging
from numpy.typing import NDArray

from model_zoo.contract.errors import ImageTooLarge, UnsupportedImage
from model_zoo.contract.images.headers import read_bmp, read_png, read_webp
from model_zoo.contract.images.jpeg import read_jpeg
from model_zoo.contract.images.kinds import describe
from model_zoo.contract.images.tiff import read_tiff
from model_zoo.contract.images.types import ImageHeader, Picture, damaged, reason

__all__ = ["ImageHeader", "ImageLimits", "decode_image", "probe"]

# OpenCV writes to stderr what it dislikes in a file; here that is an ImageError for the one who sent it.
cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_SILENT)

MAX_SIDE = 65_535  # what a JPEG can hold; OpenCV's own limit is about a million
BAND_PIXELS = 2**18  # converted at a time: what stays in the processor's cache
WHITE = 255
_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Picture]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), read_jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), read_png),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), read_webp),
    (re.compile(rb"II\*\0|MM\0\*"), read_tiff),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), read_bmp),
)
_UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], cv2.typing.MatLike]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


@dataclass(frozen=True)
class ImageLimits:
    """What a file may cost: its own bytes, the picture's pixels, and the bytes of pixels its decoder handles.

    The defaults take what phones of 64 megapixels write, at three bytes a pixel. The worst files we could make that
    keep to them cost about 1.5 s of one core, and 650 MB.
    """

    max_bytes: int = 20 * 1024**2
    max_pixels: int = 2**26
    max_work: int = 3 * 2**26


Stored = NDArray[Any]  # as the decoder gives it: uint8 or uint16; gray, BGR or BGRA
DEFAULT_LIMITS = ImageLimits()


def probe(data: bytes | bytearray | memoryview, limits: ImageLimits = DEFAULT_LIMITS) -> ImageHeader:
    """Read a picture's header and hold it against the limits; nothing is decoded.

    Raises UnsupportedImage for other content and for files of several pictures, ImageTooLarge for what exceeds a limit,
    ImageError for a damaged file.
    """
    return _read(data, limits).header


def decode_image(data: bytes | bytearray | memoryview, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Decode a picture file to RGB uint8 (H, W, 3), upright as viewers show it.

    Transparent parts are drawn over white, 16 bits are rounded to 8. Raises as `probe`, and ImageError where the pixels
    are damaged or cut short.
    """
    picture = _read(data, limits)
    if picture.header.format == "JPEG":  # most requests, and never more than 8 bits or transparent
        image: NDArray[np.uint8] = _decode(picture, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    else:
        image = _to_rgb(_decode(picture, cv2.IMREAD_UNCHANGED), picture)
    turn = _UPRIGHT.get(picture.header.orientation)
    return image if turn is None else np.asarray(turn(image), dtype=np.uint8)


def _read(data: bytes | bytearray | memoryview, limits: ImageLimits) -> Picture:
    length = memoryview(data).nbytes
    if length > limits.max_bytes:
        expected = f"at most {limits.max_bytes:,} bytes"
        raise ImageTooLarge(reason("the file", expected, f"{length:,}", "scale the picture down or save it as JPEG"))
    data = bytes(data)
    reader = next((reader for magic, reader in _FORMATS if magic.match(data)), None)
    if reader is None:
        expected = "a JPEG, PNG, WebP, TIFF or BMP picture"
        raise UnsupportedImage(reason("the file", expected, describe(data), "convert it, or send the picture itself"))
    try:
        picture = reader(data)
    except (struct.error, IndexError) as error:
        raise damaged("the file", "a whole header", "one that ends early or points beyond the file's end") from error
    _check(picture.header, limits)
    return picture


def _check(header: ImageHeader, limits: ImageLimits) -> None:
    height, width = header.size
    if header.frames != 1:
        came, mend = f"{header.frames} pages or frames", "send each as a file of its own"
        raise UnsupportedImage(reason(header.format, "one picture", came, mend))
    if max(height, width) > MAX_SIDE or height * width > limits.max_pixels:
        expected = f"at most {limits.max_pixels:,} pixels and sides up to {MAX_SIDE:,}"
        raise ImageTooLarge(reason(header.format, expected, f"{height} x {width}", "scale the picture down"))
    if header.work > limits.max_work:
        expected = f"at most {limits.max_work:,} bytes of pixels to handle"
        came = f"{header.work:,} in {header.scans} scans of {height} x {width}"
        mend = "save it with 8 bits and without progressive scans, or smaller"
        raise ImageTooLarge(reason(header.format, expected, came, mend))


def _decode(picture: Picture, flags: int) -> Stored:
    """Decode the stream to the size the header promised."""
    header = picture.header
    promised = f"{header.size[0]} x {header.size[1]} pixels, as the header promises"
    try:
        stored = cv2.imdecode(np.frombuffer(picture.stream, np.uint8), flags)
    except cv2.error as error:
        raise damaged(header.format, promised, "data that is broken") from error
    if stored is None or stored.shape[:2] != header.size or stored.dtype not in (np.uint8, np.uint16):
        raise damaged(header.format, promised, "data that is broken, cut short or coded in a rare way")
    return stored


def _to_rgb(stored: Stored, picture: Picture) -> NDArray[np.uint8]:
    """Convert band by band, so that a large picture needs no more memory than itself twice."""
    height, width = stored.shape[:2]
    rgb = np.empty((height, width, 3), np.uint8)
    rows = max(BAND_PIXELS // width, 1)
    for top in range(0, height, rows):
        rgb[top : top + rows] = _band_to_rgb(stored[top : top + rows], picture)
    return rgb


def _band_to_rgb(stored: Stored, picture: Picture) -> cv2.typing.MatLike:
    if picture.transparent_gray is not None:
        stored = np.where(stored == picture.transparent_gray, np.iinfo(stored.dtype).max, stored)
    if stored.dtype == np.uint16:
        stored = cv2.convertScaleAbs(stored, alpha=1 / 257)  # rounds; 65535 = 255 * 257
    if stored.ndim == 2:
        return cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
    if stored.shape[2] == 3:
        return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    rgb = cv2.cvtColor(stored, cv2.COLOR_BGRA2RGB)
    return rgb if picture.alpha is None else _over_white(rgb, stored[:, :, 3], picture.alpha == "premultiplied")


def _over_white(rgb: cv2.typing.MatLike, alpha: cv2.typing.MatLike, premultiplied: bool) -> cv2.typing.MatLike:
    """Draw a picture over white.

    Boxes are for people who look at the picture, and cut-outs are looked at on white pages; the colors that lie hidden
    below transparent parts are leftovers of the editor that nobody sees.
    """
    opacity = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    if premultiplied:
        return cv2.add(rgb, WHITE - opacity)
    return WHITE - cv2.multiply(WHITE - rgb, opacity, scale=1 / WHITE)
