"""Random changes of hue, saturation and value, each a table of 256 entries on OpenCV's uint8 HSV (hue 0 to 179)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.recipe import Augmentation

HUES = 180
Table = NDArray[np.uint8]  # (256, 3): the new hue, saturation and value of each old one
_LEVELS = np.arange(256.0)


def draw_color(augmentation: Augmentation, rng: Generator) -> Table:
    """Draw the change of one image, in the recipe's form; see `Augmentation`."""
    limits = np.array([augmentation.hue, augmentation.saturation, augmentation.value])
    drawn = rng.uniform(-1, 1, 3)
    if augmentation.color == "gains":
        return by_gains(1 + drawn * limits)
    if augmentation.color == "levels":
        return by_levels(drawn * limits * (rng.random(3) < 0.5))
    factors = (1 + np.abs(drawn) * limits) ** np.sign(drawn)
    return _table(_LEVELS + drawn[0] * limits[0] * HUES, _LEVELS * factors[1], _LEVELS * factors[2])


def by_gains(gains: NDArray[np.float64]) -> Table:
    """Multiply hue, saturation and value (YOLOv5, v7)."""
    return _table(*(_LEVELS * gain for gain in gains))


def by_levels(levels: NDArray[np.float64]) -> Table:
    """Add whole levels, what is left over cut off, to hue, saturation and value (YOLOX)."""
    return _table(*(_LEVELS + level for level in np.trunc(levels)))


def recolor(pixels: NDArray[np.uint8], table: Table) -> NDArray[np.uint8]:
    """Change an RGB image (H, W, 3) by a table."""
    hsv = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), table[None])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _table(hue: NDArray[np.float64], *others: NDArray[np.float64]) -> Table:
    return np.stack([hue % HUES, *(np.clip(other, 0, 255) for other in others)], axis=1).astype(np.uint8)
