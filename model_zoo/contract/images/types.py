"""What every reader of picture headers returns, and the ways it says no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_zoo.contract.errors import ImageError, UnsupportedImage
from model_zoo.contract.letterbox import Size

# A segment or chunk costs its sender a few bytes and the reader some microseconds; no real file comes near.
MAX_PARTS = 2**14


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its picture.

    size: (height, width) in pixels as stored. orientation: EXIF 1..8. frames: pictures in the file. scans: passes over
    the picture (JPEG). work: bytes of pixels the decoder handles until it is done, the measure of its time. colors and
    depth (bits a channel): as stored; what is decoded is RGB of eight bits in any case.
    """

    format: str
    size: Size
    orientation: int = 1
    frames: int = 1
    scans: int = 1
    work: int = 0
    colors: Literal["gray", "rgb", "cmyk"] = "rgb"
    depth: int = 8

    @property
    def displayed_size(self) -> Size:
        """(height, width) in pixels once the orientation is applied."""
        height, width = self.size
        return (width, height) if self.orientation >= 5 else (height, width)


@dataclass(frozen=True)
class Picture:
    """A file that passed its reader, ready for the decoder.

    stream: the file without all that its pixels do not need. alpha: how colors relate to the fourth channel.
    transparent_gray: the one stored value of a gray picture that stands for transparency.
    """

    header: ImageHeader
    stream: bytes
    alpha: Literal["straight", "premultiplied"] | None = None
    transparent_gray: int | None = None


def damaged(name: str, expected: str, came: str) -> ImageError:
    """Say that a file does not keep to its format."""
    return ImageError(reason(name, expected, came, "the file is damaged, save or send it again"))


def unsupported(name: str, expected: str, came: str) -> UnsupportedImage:
    """Say that a file makes use of its format in a way we do not take."""
    return UnsupportedImage(reason(name, expected, came, "save the picture as an ordinary JPEG or PNG"))


def reason(what: str, expected: str, came: str, mend: str) -> str:
    """Put the text of an error together."""
    return f"{what}: expected {expected}; got {came}; {mend}"
