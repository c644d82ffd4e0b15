"""Records with random boxes, and loaders of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.contract.letterbox import LetterboxPolicy
from training.data.dataset import Record, Split
from training.data.loading.loader import TrainingLoader
from training.recipe import Augmentation

SIDE = 64
RECIPE = Augmentation(mixup=0.3, mosaic_nine=0.3, multi_scale=(0.5, 1.5), multi_scale_every=2)
NO_AUGMENTATION = Augmentation(mosaic=0, translate=0, scale=(1, 1), hue=0, saturation=0, value=0, flip=0)


def make_record(path: Path, size: tuple[int, int], objects: int, seed: int = 0) -> Record:
    corners = np.sort(np.random.default_rng(seed).random((objects, 2, 2)), axis=1) * (size[1], size[0])
    boxes = corners.reshape(-1, 4).astype(np.float32)
    zeros = np.zeros(objects, np.float32)
    return Record(path, size, boxes, np.arange(objects, dtype=np.int64), zeros.astype(bool), zeros, seed)


def make_loader(split: Split, workers: int = 0, **options: Any) -> TrainingLoader:
    defaults: dict[str, Any] = {"augmentation": RECIPE, "batch": 4, "seed": 5}
    fixed = {"image_size": (SIDE, SIDE), "policy": LetterboxPolicy(), "stride": 32}
    return TrainingLoader(split=split, workers=workers, **fixed, **(defaults | options))
