"""What is known of image files without their labels: headers, and how they look; kept from one time to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import decode_image, probe
from model_zoo.contract.letterbox import Size
from training.data import cache

GRID = 16  # of a look: comparisons along a row, and rows
FLAT = 2.0  # standard deviation in gray levels below which a picture looks like any other, such as a black one


class Header(NamedTuple):
    """What an image file's header says, and the hash of its bytes.

    fault: why it cannot be used: `missing`, `empty` or a reason; "" where it can.
    """

    height: int = 0
    width: int = 0
    orientation: int = 1
    colors: str = "rgb"
    depth: int = 8
    sha256: str = ""
    fault: str = ""

    @property
    def stored(self) -> Size:
        """(height, width) as stored."""
        return self.height, self.width

    @property
    def displayed(self) -> Size:
        """(height, width) as displayed, after EXIF."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


class Look(NamedTuple):
    """How an image looks: 256 bits as hexadecimal digits, "" where it is all one color; or why it cannot be seen."""

    bits: str = ""
    fault: str = ""


def headers(root: Path, images: Sequence[Path]) -> list[Header]:
    """Read the headers of image files of the dataset at `root`; nothing is decoded."""
    found = cache.facts(cache.folder_of(root) / "headers.json", images, _header, "read images")
    return [Header(*fact) for fact in found]


def looks(root: Path, images: Sequence[Path]) -> list[Look]:
    """Decode image files of the dataset at `root`, to see whether they can be, and how they look."""
    return [Look(*fact) for fact in cache.facts(cache.folder_of(root) / "looks.json", images, _look, "decode images")]


def _header(path: Path) -> Header:
    try:
        data = path.read_bytes()
    except OSError as error:
        return Header(fault="missing" if isinstance(error, FileNotFoundError) else str(error.strerror))
    if not data:
        return Header(fault="empty")
    try:
        header = probe(data)
    except ImageError as error:
        return Header(fault=str(error))
    digest = hashlib.sha256(data).hexdigest()
    return Header(*header.size, header.orientation, header.colors, header.depth, digest)


def _look(path: Path) -> Look:
    """Tell where it grows brighter from left to right, on a coarse grid (a "difference hash")."""
    try:
        gray = cv2.cvtColor(decode_image(path.read_bytes()), cv2.COLOR_RGB2GRAY)
    except OSError as error:
        return Look(fault=str(error.strerror))
    except ImageError as error:
        return Look(fault=str(error))
    small = cv2.resize(gray, (GRID + 1, GRID), interpolation=cv2.INTER_AREA).astype(np.int16)
    if small.std() < FLAT:
        return Look()
    return Look(np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex())
