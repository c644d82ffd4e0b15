"""Images of colored rectangles, recipes, and a check of samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import default_rng

from model_zoo.contract import letterbox
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from training.batch import Sample
from training.recipe import Augmentation

SIZE = (128, 160)
CENTER, TOP_LEFT, STRETCH = (LetterboxPolicy(align=align) for align in ("center", "top_left", "stretch"))
NO_AUGMENTATION = Augmentation(mosaic=0, translate=0, scale=(1, 1), hue=0, saturation=0, value=0, flip=0)
MOSAIC = replace(NO_AUGMENTATION, mosaic=1.0, translate=0.1, scale=(0.5, 1.5))
YOLOX = replace(
    MOSAIC,
    affine="corner",
    degrees=10,
    shear=2,
    mixup=1.0,
    mixup_beta=0,
    min_side=1,
    min_area=0,
    max_aspect=np.inf,
)
COLORS = np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]])


def make_image(seed: int, objects: int = 6, policy: LetterboxPolicy = CENTER, size: Size = SIZE) -> Sample:
    """Return an image with rectangles in a grid, each in the color of its class."""
    rng = default_rng(seed)
    height, width = letterbox.plan(policy, tuple(rng.integers(60, 400, 2).tolist()), size).resized
    pixels = np.full((height, width, 3), 30, np.uint8)
    grid = int(np.ceil(np.sqrt(max(objects, 1))))
    class_ids = rng.integers(0, len(COLORS), objects)
    boxes = []
    for i, class_id in enumerate(class_ids):
        y, x = i // grid, i % grid
        x1, x2, y1, y2 = x * width // grid, (x + 1) * width // grid, y * height // grid, (y + 1) * height // grid
        pixels[y1 : y2 - 1, x1 : x2 - 1] = COLORS[class_id]
        boxes.append((x1, y1, x2 - 1, y2 - 1))
    return Sample(pixels, np.array(boxes, np.float32).reshape(-1, 4), class_ids)


def make_images(count: int = 6, objects: int = 6, policy: LetterboxPolicy = CENTER) -> list[Sample]:
    return [make_image(seed, objects, policy) for seed in range(count)]


def assert_valid(sample: Sample, recipe: Augmentation, size: Size = SIZE) -> None:
    assert sample.pixels.shape == (*size, 3)
    assert (sample.pixels.dtype, sample.boxes.dtype, sample.class_ids.dtype) == (np.uint8, np.float32, np.int64)
    assert sample.boxes.shape == (len(sample.class_ids), 4)
    assert (sample.boxes >= 0).all()
    assert (sample.boxes <= np.float32([size[1], size[0], size[1], size[0]])).all()
    assert (sample.boxes[:, 2:] - sample.boxes[:, :2] > recipe.min_side).all()
