"""Types and errors shared by the readers of image headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_zoo.contract.errors import ImageError, UnsupportedImage
from model_zoo.contract.letterbox import Size

# A segment or chunk costs the sender a few bytes and the reader microseconds. Real files have far fewer.
MAX_PARTS = 2**14
FORMATS = "a JPEG, PNG, WebP, TIFF or BMP image"


@dataclass(frozen=True)
class ImageHeader:
    """Header of an image file. Decoded images are always 8-bit RGB, whatever is stored."""

    format: str
    """Name of the format, such as JPEG."""
    size: Size
    """Size (height, width) in pixels as stored."""
    orientation: int = 1
    """EXIF orientation, 1 to 8."""
    frames: int = 1
    """Number of images in the file."""
    scans: int = 1
    """Number of passes over the image (JPEG)."""
    work: int = 0
    """Bytes of pixels that the decoder processes, a measure of its time."""
    colors: Literal["gray", "rgb", "cmyk"] = "rgb"
    """Color space as stored."""
    depth: int = 8
    """Bits per channel as stored."""

    @property
    def displayed_size(self) -> Size:
        """Size (height, width) in pixels after applying the orientation."""
        return self.orient(self.size)

    def orient(self, size: Size) -> Size:
        """Turn a size as stored into one as displayed, or back."""
        return size[::-1] if self.orientation >= 5 else size


@dataclass(frozen=True)
class EncodedImage:
    """An image file that passed its reader and is ready for the decoder."""

    header: ImageHeader
    """Header of the file."""
    stream: bytes
    """File contents reduced to what the pixels need."""
    alpha: Literal["straight", "premultiplied"] | None = None
    """Relation of the colors to the alpha channel, or None without alpha."""
    transparent_gray: int | None = None
    """Stored value of a gray image that stands for transparency."""


def damaged(format: str, expected: str, actual: str) -> ImageError:
    """Return the error for a file that violates its format."""
    return ImageError(error_text(format, expected, actual, "the file is damaged, save or send it again"))


def unsupported(format: str, expected: str, actual: str) -> UnsupportedImage:
    """Return the error for a valid file with features that are not supported."""
    return UnsupportedImage(error_text(format, expected, actual, "save the image as an ordinary JPEG or PNG"))


def error_text(subject: str, expected: str, actual: str, fix: str) -> str:
    """Return the text of an error."""
    return f"{subject}: expected {expected}; got {actual}; {fix}"
