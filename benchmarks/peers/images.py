"""JPEG files of three sizes, made from images of COCO, always the same bytes for the same files and OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIZES: Final = {"640x480": (640, 480), "1280x720": (1280, 720), "4000x3000": (4000, 3000)}
"""Width and height of each kind of image."""
SOURCES: Final = ("000000000074", "000000000143", "000000000260", "000000025560", "000000286994")
"""Images with clear objects: the graph finds the same in large ones, whether sampled, averaged or decoded reduced."""
GRAIN: Final = 3.0
"""Standard deviation of the noise in large images: enlarged ones alone would be cheaper to decode than a camera's."""


def make_images(source: Path, folder: Path) -> dict[str, list[bytes]]:
    """Return the files of each size, and write them to a folder on the first call."""
    return {size: [_file(source, folder / size, name, size) for name in SOURCES] for size in SIZES}


def _file(source: Path, folder: Path, name: str, size: str) -> bytes:
    path = folder / f"{name}.jpg"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        original = cv2.imread(str(source / path.name))
        if original is None:
            raise SystemExit(f"no image {source / path.name}; --images names the folder of those of coco_mini")
        image = _fill(np.asarray(original, np.uint8), *SIZES[size])
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return path.read_bytes()


def _fill(source: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Crop the center to the aspect ratio, and enlarge it."""
    gain = max(width / source.shape[1], height / source.shape[0])
    rows, columns = round(height / gain), round(width / gain)
    top, left = (source.shape[0] - rows) // 2, (source.shape[1] - columns) // 2
    image = cv2.resize(source[top : top + rows, left : left + columns], (width, height), interpolation=cv2.INTER_CUBIC)
    if gain > 4:
        image = np.clip(image + np.random.default_rng(0).normal(0, GRAIN, image.shape), 0, 255)
    return image.astype(np.uint8)
