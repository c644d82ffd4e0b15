"""Random changes of hue, saturation and value, as lookup tables on OpenCV's uint8 HSV (hue 0 to 179)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.recipe import Augmentation

HUES = 180
Table = NDArray[np.uint8]  # (256, 3): new hue, saturation and value of each old one
_LEVELS = np.arange(256.0)


def draw_color(augmentation: Augmentation, rng: Generator) -> Table:
    """Draw the color change of one image in the form of the recipe, see `Augmentation.color`."""
    limits = np.array([augmentation.hue, augmentation.saturation, augmentation.value])
    draws = rng.uniform(-1, 1, 3)
    if augmentation.color == "gains":
        return gain_table(1 + draws * limits)
    if augmentation.color == "levels":
        return level_table(draws * limits * (rng.random(3) < 0.5))
    factors = (1 + np.abs(draws) * limits) ** np.sign(draws)
    return _make_table(_LEVELS + draws[0] * limits[0] * HUES, _LEVELS * factors[1], _LEVELS * factors[2])


def gain_table(gains: NDArray[np.float64]) -> Table:
    """Return a table that multiplies hue, saturation and value (YOLOv5, v7)."""
    return _make_table(*(_LEVELS * gain for gain in gains))


def level_table(levels: NDArray[np.float64]) -> Table:
    """Return a table that adds levels, truncated to integers, to hue, saturation and value (YOLOX)."""
    return _make_table(*(_LEVELS + level for level in np.trunc(levels)))


def apply_color(pixels: NDArray[np.uint8], table: Table) -> NDArray[np.uint8]:
    """Change the colors of an RGB image (H, W, 3) by a table."""
    hsv = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), table[None])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _make_table(hue: NDArray[np.float64], *others: NDArray[np.float64]) -> Table:
    return np.stack([hue % HUES, *(np.clip(other, 0, 255) for other in others)], axis=1).astype(np.uint8)
