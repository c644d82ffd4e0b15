"""Image headers and perceptual hashes of image files, cached between runs."""

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

HASH_GRID = 16  # rows of the hash, and comparisons in each row
MIN_CONTRAST = 2.0  # standard deviation in gray levels; flatter images, such as black ones, get no hash


class ImageInfo(NamedTuple):
    """Header of an image file and the hash of its bytes."""

    height: int = 0
    """Height as stored."""
    width: int = 0
    """Width as stored."""
    orientation: int = 1
    """EXIF orientation, 1 to 8."""
    colors: str = "rgb"
    """Color model: rgb, gray or cmyk."""
    depth: int = 8
    """Bits per channel."""
    sha256: str = ""
    """SHA-256 of the file."""
    error: str = ""
    """`missing`, `empty`, or the reason why the file cannot be used. An empty string if it can."""

    @property
    def stored(self) -> Size:
        """Height and width as stored."""
        return self.height, self.width

    @property
    def displayed(self) -> Size:
        """Height and width as displayed, after EXIF orientation."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


class ImageHash(NamedTuple):
    """Perceptual hash of an image, or the reason why it cannot be decoded."""

    bits: str = ""
    """256 bits as hexadecimal digits, empty for an image of a single color."""
    error: str = ""
    """Reason why the image cannot be decoded, empty if it can."""
    damage: str = ""
    """Description of damage that the decoder skips, empty if there is none."""


def read_image_info(root: Path, images: Sequence[Path]) -> list[ImageInfo]:
    """Read the headers of image files of the dataset at `root`, without decoding them."""
    path = cache.dataset_folder(root) / "image_info.json"
    return [ImageInfo(*info) for info in cache.cached_file_info(path, images, _read_info, "read images")]


def hash_images(root: Path, images: Sequence[Path]) -> list[ImageHash]:
    """Decode image files of the dataset at `root` and compute their perceptual hashes."""
    path = cache.dataset_folder(root) / "image_hashes.json"
    return [ImageHash(*info) for info in cache.cached_file_info(path, images, _hash_image, "decode images")]


def _read_info(path: Path) -> ImageInfo:
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device may never end
            return ImageInfo(error="Not a regular file; replace it by an image")
        data = path.read_bytes()
    except (FileNotFoundError, ValueError):  # ValueError: a name with a null byte
        return ImageInfo(error="missing")
    except OSError as error:
        return ImageInfo(error=str(error.strerror))
    if not data:
        return ImageInfo(error="empty")
    try:
        header = probe(data)
    except ImageError as error:
        return ImageInfo(error=str(error))
    digest = hashlib.sha256(data).hexdigest()
    return ImageInfo(*header.size, header.orientation, header.colors, header.depth, digest)


def _hash_image(path: Path) -> ImageHash:
    """Compute a difference hash: whether brightness increases from left to right, on a coarse grid."""
    damage: list[str] = []
    try:
        gray = cv2.cvtColor(decode_image(path.read_bytes(), warn=damage.append), cv2.COLOR_RGB2GRAY)
    except OSError as error:
        return ImageHash(error=str(error.strerror))
    except ImageError as error:
        return ImageHash(error=str(error))
    small = cv2.resize(gray, (HASH_GRID + 1, HASH_GRID), interpolation=cv2.INTER_AREA).astype(np.int16)
    if small.std() < MIN_CONTRAST:
        return ImageHash(damage="".join(damage))
    return ImageHash(np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex(), damage="".join(damage))
