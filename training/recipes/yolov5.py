"""Recipes of YOLOv5 (release 7.0, without a paper): one for small networks, one for larger ones.

Omitted because it needs object outlines: the larger networks' `copy_paste` augmentation.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from training.losses.yolov5 import Gains, YOLOv5Criterion
from training.recipe import Augmentation, Recipe, Schedule

LOW = Recipe(
    criterion=partial(YOLOv5Criterion, gains=Gains()),
    source="YOLOv5 7.0, settings `low`",
    schedule=Schedule(warmup_bias_lr=0.1, warmup_momentum=0.8),
)
HIGH = replace(
    LOW,
    criterion=partial(YOLOv5Criterion, gains=Gains(classes=0.3, objectness=0.7)),
    source="YOLOv5 7.0, settings `high`",
    schedule=replace(LOW.schedule, final=0.1),
    augmentation=Augmentation(scale=(0.1, 1.9), mixup=0.1),
)
SMALL = ("yolov5n", "yolov5s", "yolov5-test")


def recipe(variant: str) -> Recipe:
    """Return the recipe of a variant of YOLOv5."""
    return LOW if variant.startswith(SMALL) else HIGH
