"""Decode the bytes of an image file to upright RGB uint8 (H, W, 3).

    image = decode_image(data)                                       # at full size
    encoded = parse_image(data)                                      # header and limits, nothing decoded
    image = decode_parsed(encoded, min_size=(360, 640))              # a large JPEG at 1/2, 1/4 or 1/8 of its size

JPEG, PNG, WebP, TIFF, BMP and HEIF (extra `heif`) are identified by their first bytes, never by the file name. Errors
name the type of other files, such as "a GIF". The header is parsed here and checked against the limits before anything
is decoded. Only the parts that the pixels need reach the decoder (see `headers`). Damaged files raise errors instead of
decoding in part.
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
from model_zoo.contract.image_size import format_size
from model_zoo.contract.images import c_stderr
from model_zoo.contract.images.headers import read_bmp, read_png, read_webp
from model_zoo.contract.images.heif import decode_heif, read_heif
from model_zoo.contract.images.jpeg import read_jpeg
from model_zoo.contract.images.kinds import describe
from model_zoo.contract.images.tiff import read_tiff
from model_zoo.contract.images.types import FORMATS, EncodedImage, ImageHeader, damaged, error_text
from model_zoo.contract.letterbox import Size

__all__ = [
    "EncodedImage",
    "ImageHeader",
    "ImageLimits",
    "check_length",
    "decode_image",
    "decode_parsed",
    "parse_image",
    "probe",
]

Warn = Callable[[str], object]

# OpenCV logs decoding problems to stderr; callers get them as ImageError instead.
cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_SILENT)

MAX_SIDE = 65_535  # limit of JPEG; OpenCV allows about a million
BAND_PIXELS = 2**18  # converted at a time, to fit the CPU cache
WHITE = 255
_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], EncodedImage]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), read_jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), read_png),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), read_webp),
    (re.compile(rb"II\*\0|MM\0\*"), read_tiff),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), read_bmp),
    (re.compile(rb".{4}ftyp(hei[cmxs]|hev[cmx]|mif[12]|msf1)", re.DOTALL), read_heif),
)
_C_STDERR = c_stderr.create()
# libjpeg computes fewer samples of each block of 8 x 8, which averages the pixels. The color bit of REDUCED_COLOR is
# missing, because it excludes RGB.
_REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}
_JPEG_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression")  # of libjpeg's messages
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
    """Limits on image files.

    The defaults allow 64-megapixel phone cameras, at three bytes per pixel. The worst files that we could craft within
    them take about 3 s on one core and 650 MB.
    """

    max_bytes: int = 20 * 1024**2
    """Max size of the file in bytes."""
    max_pixels: int = 2**26
    """Max pixels of the image."""
    max_work: int = 3 * 2**26
    """Max bytes of pixels that the decoder processes."""


Stored = NDArray[Any]  # decoder output: uint8 or uint16 in gray, BGR or BGRA
DEFAULT_LIMITS = ImageLimits()


def probe(data: bytes | bytearray | memoryview, limits: ImageLimits = DEFAULT_LIMITS) -> ImageHeader:
    """Read the header of an image and check it against the limits, without decoding.

    Raises:
        ImageError: as `parse_image`.
    """
    return parse_image(data, limits).header


def decode_image(
    data: bytes | bytearray | memoryview, limits: ImageLimits = DEFAULT_LIMITS, warn: Warn | None = None
) -> NDArray[np.uint8]:
    """Decode an image file to RGB uint8 (H, W, 3), upright as in image viewers.

    Transparent parts are drawn over white, 16 bits are rounded to 8.

    Args:
        data: Contents of the file.
        limits: Max size of the file and the image.
        warn: Called with a description if the file is damaged but can be decoded, at least in part.

    Raises:
        UnsupportedImage: another file type, or several images in one file.
        ImageTooLarge: a limit is exceeded.
        ImageError: the file is damaged or truncated.
    """
    return decode_parsed(parse_image(data, limits), warn)


def check_length(length: int, limits: ImageLimits = DEFAULT_LIMITS) -> None:
    """Check the size of a file in bytes.

    Raises:
        ImageTooLarge: It is over the limit.
    """
    if length > limits.max_bytes:
        expected = f"at most {limits.max_bytes:,} bytes"
        raise ImageTooLarge(error_text("the file", expected, f"{length:,}", "scale the image down or save it as JPEG"))


def parse_image(data: bytes | bytearray | memoryview, limits: ImageLimits = DEFAULT_LIMITS) -> EncodedImage:
    """Read the structure of an image file and check it against the limits, without decoding.

    Raises:
        UnsupportedImage: another file type, or several images in one file.
        ImageTooLarge: a limit is exceeded.
        ImageError: the file is damaged.
    """
    check_length(memoryview(data).nbytes, limits)
    data = bytes(data)
    reader = next((reader for magic, reader in _FORMATS if magic.match(data)), None)
    if reader is None:
        fix = "convert it to one of these" if data else "save or send it again"
        raise UnsupportedImage(error_text("the file", FORMATS, describe(data), fix))
    try:
        encoded = reader(data)
    except (struct.error, IndexError) as error:
        raise damaged(
            "the file", "a complete header", "one that ends early or points beyond the end of the file"
        ) from error
    _check(encoded.header, limits)
    return encoded


def decode_parsed(encoded: EncodedImage, warn: Warn | None = None, min_size: Size | None = None) -> NDArray[np.uint8]:
    """Decode a parsed file as `decode_image`, or a JPEG at 1/2, 1/4 or 1/8 of its size if that is still large enough.

    Args:
        encoded: The parsed file.
        warn: As in `decode_image`.
        min_size: Size (height, width) of the upright image that is large enough. By default only the full size is.

    Raises:
        ImageError: the file is damaged or truncated.
    """
    if encoded.header.format == "JPEG":  # the common case: always 8 bits, never transparent
        image = _decode_jpeg(encoded, warn, min_size)
    elif encoded.header.format == "HEIF":
        image = _to_rgb(decode_heif(encoded), encoded)
    else:
        image = _to_rgb(_decode(encoded, cv2.IMREAD_UNCHANGED, encoded.header.size, warn), encoded)
    rotate = _UPRIGHT.get(encoded.header.orientation)
    return image if rotate is None else np.asarray(rotate(image), dtype=np.uint8)


def _check(header: ImageHeader, limits: ImageLimits) -> None:
    height, width = header.size
    if header.frames != 1:
        actual, fix = f"{header.frames} pages or frames", "send each in its own file"
        raise UnsupportedImage(error_text(header.format, "one image", actual, fix))
    if not min(header.size):
        raise damaged(header.format, "at least one pixel", format_size(header.size))
    if max(height, width) > MAX_SIDE or height * width > limits.max_pixels:
        expected = f"at most {limits.max_pixels:,} pixels and sides up to {MAX_SIDE:,}"
        raise ImageTooLarge(error_text(header.format, expected, format_size(header.size), "scale the image down"))
    if header.work > limits.max_work:
        expected = f"at most {limits.max_work:,} bytes of pixels to process"
        actual = f"{header.work:,} in {header.scans} scans of {format_size(header.size)}"
        fix = "save it with 8 bits and without progressive scans, or smaller"
        raise ImageTooLarge(error_text(header.format, expected, actual, fix))


def _decode_jpeg(encoded: EncodedImage, warn: Warn | None, min_size: Size | None) -> NDArray[np.uint8]:
    """Decode a JPEG, not yet upright, at the smallest size that is large enough.

    libjpeg rounds sizes up. A last row or column of less than half a pixel is cut off, so that the scale stays true.
    """
    (height, width), factor = encoded.header.size, _reduction(encoded.header, min_size)
    flags, size = _JPEG_FLAGS | _REDUCED.get(factor, 0), (-(-height // factor), -(-width // factor))
    stored: NDArray[np.uint8] = _decode(encoded, flags, size, warn)
    return stored[: round(height / factor), : round(width / factor)]


def _reduction(header: ImageHeader, min_size: Size | None) -> int:
    height, width = header.orient(min_size) if min_size else header.size
    enough = (n for n in _REDUCED if round(header.size[0] / n) >= height and round(header.size[1] / n) >= width)
    return next(enough, 1)


def _decode(encoded: EncodedImage, flags: int, size: Size, warn: Warn | None) -> Stored:
    """Decode the stream and check that the result has the size that the header calls for."""
    format = encoded.header.format
    expected = f"{format_size(encoded.header.size)} pixels, as in the header"
    try:
        stored, damage = _imdecode(encoded.stream, flags)
        if damage and warn:  # it may be another thread's
            stored, damage = _imdecode(encoded.stream, flags, exclusive=True)
    except cv2.error as error:
        raise damaged(format, expected, "invalid data") from error
    if stored is None or stored.shape[:2] != size or stored.dtype not in (np.uint8, np.uint16):
        raise damaged(format, expected, "data that is invalid, truncated or coded in a rare way")
    if damage and warn:
        warn(f"the {format} is damaged, parts of the image may be missing ({damage})")
    return stored


def _imdecode(stream: bytes, flags: int, exclusive: bool = False) -> tuple[Stored | None, str]:
    """Decode with OpenCV. Return the pixels and the damage that libjpeg reported.

    Damage of files that other threads decode meanwhile counts too, unless exclusive.
    """
    with _C_STDERR.collect(exclusive) as lines:
        stored = cv2.imdecode(np.frombuffer(stream, np.uint8), flags)
    return stored, next((line for line in lines if line.startswith(_DAMAGE)), "")


def _to_rgb(stored: Stored, encoded: EncodedImage) -> NDArray[np.uint8]:
    """Convert band by band, so that a large image needs at most twice its memory."""
    height, width = stored.shape[:2]
    rgb = np.empty((height, width, 3), np.uint8)
    rows = max(BAND_PIXELS // width, 1)
    for top in range(0, height, rows):
        rgb[top : top + rows] = _band_to_rgb(stored[top : top + rows], encoded)
    return rgb


def _band_to_rgb(stored: Stored, encoded: EncodedImage) -> cv2.typing.MatLike:
    if encoded.transparent_gray is not None:
        stored = np.where(stored == encoded.transparent_gray, np.iinfo(stored.dtype).max, stored)
    if stored.dtype == np.uint16:
        stored = cv2.convertScaleAbs(stored, alpha=1 / 257)  # rounds; 65535 = 255 * 257
    if stored.ndim == 2:
        return cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
    if stored.shape[2] == 3:
        return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    rgb = cv2.cvtColor(stored, cv2.COLOR_BGRA2RGB)
    return rgb if encoded.alpha is None else _over_white(rgb, stored[:, :, 3], encoded.alpha == "premultiplied")


def _over_white(rgb: cv2.typing.MatLike, alpha: cv2.typing.MatLike, premultiplied: bool) -> cv2.typing.MatLike:
    """Draw an image with transparency over white, as on a white page.

    The colors stored under fully transparent pixels are leftovers of the editor and invisible.
    """
    opacity = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    if premultiplied:
        return cv2.add(rgb, WHITE - opacity)
    return WHITE - cv2.multiply(WHITE - rgb, opacity, scale=1 / WHITE)
