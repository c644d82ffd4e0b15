"""Mixup: blend two images and combine their boxes (1710.09412, for detection 1902.04103)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from model_zoo.contract.letterbox import Size
from training.augment.canvas import crop, flip, resize
from training.batch import Sample
from training.recipe import Augmentation


def blend(first: Sample, second: Sample, ratio: float) -> Sample:
    """Blend two samples of one size, the first with weight `ratio`, truncating pixels to integers."""
    almost_half = -0.4999  # turns OpenCV's rounding into truncation, but keeps integers despite float errors
    pixels = cv2.addWeighted(first.pixels, ratio, second.pixels, 1 - ratio, almost_half)
    return Sample(
        np.asarray(pixels, np.uint8),
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.class_ids, second.class_ids]),
    )


def draw_ratio(beta: float, rng: Generator) -> float:
    """Draw the mixing ratio from Beta(beta, beta), or return 0.5 if beta is 0."""
    return float(rng.beta(beta, beta)) if beta else 0.5


def scale_and_crop(sample: Sample, augmentation: Augmentation, fill: int, rng: Generator) -> Sample:
    """Scale a single image, flip it at random and crop a random part of its original size (YOLOX's mixup partner)."""
    low, high = augmentation.mixup_scale
    scale, chance, y, x = rng.random(4)
    canvas: Size = (sample.pixels.shape[0], sample.pixels.shape[1])
    height, width = (max(int(side * (low + (high - low) * scale)), 1) for side in canvas)
    scaled = resize(sample, (height, width))
    if chance < augmentation.flip:
        scaled = flip(scaled)
    corner = (-int(y * (max(height - canvas[0], 0) + 1)), -int(x * (max(width - canvas[1], 0) + 1)))
    return crop(scaled, corner, canvas, fill, augmentation)
