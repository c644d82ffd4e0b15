"""Reproducible synthetic images: shapes on a gradient, and noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.letterbox import Size

ImageBatch = NDArray[np.uint8]  # (B, H, W, 3) RGB


def synthetic_images(size: Size, count: int, seed: int = 0) -> ImageBatch:
    """Return seeded RGB images (count, H, W, 3): shapes on a gradient, every third one noise."""
    rng = np.random.default_rng(seed)
    return np.stack([_noise(rng, size) if i % 3 == 2 else _shapes(rng, size) for i in range(count)])


def _noise(rng: np.random.Generator, size: Size) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def _shapes(rng: np.random.Generator, size: Size) -> NDArray[np.uint8]:
    height, width = size
    gradient = np.linspace(rng.integers(0, 256, 3), rng.integers(0, 256, 3), width).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(gradient, (height, width, 3)))
    for _ in range(12):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(4, width // 3)), int(rng.integers(4, height // 3)))
        color = [int(value) for value in rng.integers(0, 256, 3)]
        cv2.ellipse(image, center, axes, int(rng.integers(180)), 0, 360, color, thickness=-1)
    return image
