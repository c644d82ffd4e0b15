"""Paste images on a canvas, crop, resize and flip them, together with their boxes.

A corner is the (top, left) position of an image on the canvas in whole pixels; it may lie outside.
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


def paste(tiles: Sequence[Sample], corners: Sequence[Corner], canvas: Size, fill: int) -> Sample:
    """Paste images on a canvas at their corners, with all boxes clipped to it, even empty ones."""
    pixels = np.full((*canvas, 3), fill, np.uint8)
    for tile, corner in zip(tiles, corners, strict=True):
        _paste_pixels(pixels, tile.pixels, corner)
    boxes = np.concatenate([tile.boxes + _offset(corner) for tile, corner in zip(tiles, corners, strict=True)])
    class_ids = np.concatenate([tile.class_ids for tile in tiles])
    return Sample(pixels, np.asarray(clip(boxes, canvas), np.float32), class_ids)


def crop(sample: Sample, corner: Corner, canvas: Size, fill: int, augmentation: Augmentation) -> Sample:
    """Paste one image on a canvas, dropping boxes of which too little is left."""
    pasted = paste([sample], [corner], canvas, fill)
    return select_boxes(pasted, keep_mask(sample.boxes + _offset(corner), pasted.boxes, augmentation))


def draw_crop(size: Size, jitter: float, rng: Generator) -> tuple[Corner, Size]:
    """Draw Darknet's random crop, which moves each side in or out by up to `jitter` (below 0.5) of the image side.

    Returns the corner of the image on the crop, and the size of the crop.
    """
    offsets = rng.uniform(-jitter, jitter, (2, 2)) * size
    top, left = (int(offset) for offset in offsets[0])
    bottom, right = (side + int(offset) for side, offset in zip(size, offsets[1], strict=True))
    return (-top, -left), (max(bottom - top, 1), max(right - left, 1))


def resize(sample: Sample, size: Size) -> Sample:
    """Resize an image and its boxes, with bilinear interpolation."""
    height, width = sample.pixels.shape[:2]
    if (height, width) == size:
        return sample
    pixels = np.asarray(cv2.resize(sample.pixels, (size[1], size[0])), np.uint8)
    factors = np.array((size[1] / width, size[0] / height) * 2, np.float32)
    return Sample(pixels, sample.boxes * factors, sample.class_ids)


def flip(sample: Sample) -> Sample:
    """Flip an image horizontally."""
    x1, y1, x2, y2 = sample.boxes.T
    width = sample.pixels.shape[1]
    pixels = np.asarray(cv2.flip(sample.pixels, 1), np.uint8)
    return Sample(pixels, np.stack([width - x2, y1, width - x1, y2], axis=1), sample.class_ids)


def select_boxes(sample: Sample, mask: NDArray[np.bool_]) -> Sample:
    """Keep the boxes that the mask selects."""
    return Sample(sample.pixels, sample.boxes[mask], sample.class_ids[mask])


def keep_mask(before: Floats, after: Floats, augmentation: Augmentation) -> NDArray[np.bool_]:
    """Return a mask of the boxes (N, 4) to keep by the recipe's `min_side`, `min_area` and `max_aspect`.

    `before` holds the boxes before they were cut, in the scale of `after`.
    """
    sides = after[:, 2:] - after[:, :2]
    short, long = sides.min(axis=1), sides.max(axis=1)
    large = area(after) > augmentation.min_area * area(before)
    compact = long < augmentation.max_aspect * np.maximum(short, 1e-9)
    mask: NDArray[np.bool_] = large & compact & (short > augmentation.min_side)
    return mask


def _offset(corner: Corner) -> NDArray[np.float32]:
    top, left = corner
    return np.array((left, top, left, top), np.float32)


def _paste_pixels(canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], corner: Corner) -> None:
    """Copy the part of an image that lies on the canvas."""
    (top, left), (height, width) = corner, pixels.shape[:2]
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    target = canvas[rows, columns]
    y, x = rows.start - top, columns.start - left
    target[:] = pixels[y : y + target.shape[0], x : x + target.shape[1]]
