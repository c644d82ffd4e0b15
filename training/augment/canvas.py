"""Lay images on a canvas, cut them, resize and mirror them; boxes go along.

A corner is (top, left) of an image on the canvas, in whole pixels, and may lie outside.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, area, clip
from model_zoo.contract.letterbox import Size
from training.batch import Sample
from training.recipe import Augmentation

Corner = tuple[int, int]  # (top, left)


def assemble(tiles: Sequence[Sample], corners: Sequence[Corner], canvas: Size, fill: int) -> Sample:
    """Lay images on a canvas at their corners, with all their boxes, clipped to it and even if nothing is left."""
    pixels = np.full((*canvas, 3), fill, np.uint8)
    for tile, corner in zip(tiles, corners, strict=True):
        _paste(pixels, tile.pixels, corner)
    boxes = np.concatenate([tile.boxes + _shift(corner) for tile, corner in zip(tiles, corners, strict=True)])
    return Sample(
        pixels, np.asarray(clip(boxes, canvas), np.float32), np.concatenate([tile.class_ids for tile in tiles])
    )


def cut(sample: Sample, corner: Corner, canvas: Size, fill: int, augmentation: Augmentation) -> Sample:
    """Lay one image on a canvas, without the boxes of which too little is left there."""
    seen = assemble([sample], [corner], canvas, fill)
    return keep(seen, worth_keeping(sample.boxes + _shift(corner), seen.boxes, augmentation))


def draw_crop(size: Size, jitter: float, rng: Generator) -> tuple[Corner, Size]:
    """Draw Darknet's random crop: each side moved in or out by up to `jitter` (below 0.5) of the image's.

    Returns the image's corner on the crop, and the size of the crop.
    """
    moves = rng.uniform(-jitter, jitter, (2, 2)) * size
    top, left = (int(move) for move in moves[0])
    bottom, right = (side + int(move) for side, move in zip(size, moves[1], strict=True))
    return (-top, -left), (max(bottom - top, 1), max(right - left, 1))


def resize(sample: Sample, size: Size) -> Sample:
    """Resize an image, bilinear."""
    height, width = sample.pixels.shape[:2]
    if (height, width) == size:
        return sample
    pixels = np.asarray(cv2.resize(sample.pixels, (size[1], size[0])), np.uint8)
    factors = np.array((size[1] / width, size[0] / height) * 2, np.float32)
    return Sample(pixels, sample.boxes * factors, sample.class_ids)


def mirror(sample: Sample) -> Sample:
    """Swap left and right."""
    x1, y1, x2, y2 = sample.boxes.T
    width = sample.pixels.shape[1]
    pixels = np.asarray(cv2.flip(sample.pixels, 1), np.uint8)
    return Sample(pixels, np.stack([width - x2, y1, width - x1, y2], axis=1), sample.class_ids)


def keep(sample: Sample, wanted: NDArray[np.bool_]) -> Sample:
    """Drop the boxes that are not wanted."""
    return Sample(sample.pixels, sample.boxes[wanted], sample.class_ids[wanted])


def worth_keeping(before: Floats, after: Floats, augmentation: Augmentation) -> NDArray[np.bool_]:
    """Tell which boxes (N, 4) are still worth learning, by the recipe's `min_side`, `min_area` and `max_aspect`.

    before: the boxes before they were cut, in the scale of `after`.
    """
    sides = after[:, 2:] - after[:, :2]
    short, long = sides.min(axis=1), sides.max(axis=1)
    large = area(after) > augmentation.min_area * area(before)
    square = long < augmentation.max_aspect * np.maximum(short, 1e-9)
    wanted: NDArray[np.bool_] = large & square & (short > augmentation.min_side)
    return wanted


def _shift(corner: Corner) -> NDArray[np.float32]:
    top, left = corner
    return np.array((left, top, left, top), np.float32)


def _paste(canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], corner: Corner) -> None:
    """Draw on the canvas what of an image lies on it."""
    (top, left), (height, width) = corner, pixels.shape[:2]
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    seen = canvas[rows, columns]
    y, x = rows.start - top, columns.start - left
    seen[:] = pixels[y : y + seen.shape[0], x : x + seen.shape[1]]
