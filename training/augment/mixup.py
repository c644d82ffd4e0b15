"""Mixup: two images drawn over one another, with the boxes of both (1710.09412; for detection 1902.04103)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from model_zoo.contract.letterbox import Size
from training.augment.canvas import cut, mirror, resize
from training.batch import Sample
from training.recipe import Augmentation


def blend(one: Sample, other: Sample, share: float) -> Sample:
    """Draw `share` of one image and the rest of the other, of the same size; pixels are cut to whole numbers."""
    almost_half = -0.4999  # turns OpenCV's rounding into cutting, and lets whole numbers be in spite of float errors
    pixels = cv2.addWeighted(one.pixels, share, other.pixels, 1 - share, almost_half)
    return Sample(
        np.asarray(pixels, np.uint8),
        np.concatenate([one.boxes, other.boxes]),
        np.concatenate([one.class_ids, other.class_ids]),
    )


def draw_share(beta: float, rng: Generator) -> float:
    """Draw the share from Beta(beta, beta); a half where beta is 0."""
    return float(rng.beta(beta, beta)) if beta else 0.5


def vary(sample: Sample, augmentation: Augmentation, fill: int, rng: Generator) -> Sample:
    """Scale a lone image, mirror it by chance and cut its own size out of it at random (YOLOX's partner)."""
    low, high = augmentation.mixup_scale
    scale, chance, y, x = rng.random(4)
    canvas: Size = (sample.pixels.shape[0], sample.pixels.shape[1])
    height, width = (max(int(side * (low + (high - low) * scale)), 1) for side in canvas)
    scaled = resize(sample, (height, width))
    if chance < augmentation.flip:
        scaled = mirror(scaled)
    corner = (-int(y * (max(height - canvas[0], 0) + 1)), -int(x * (max(width - canvas[1], 0) + 1)))
    return cut(scaled, corner, canvas, fill, augmentation)
