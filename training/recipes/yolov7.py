"""Recipes of YOLOv7 (arXiv:2207.02696, section 5.1 and appendix, and the release's settings).

Omitted because it needs object outlines: pasted objects (`paste_in`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from model_zoo.families import yolov7_p6
from training.losses.yolov5 import Gains
from training.losses.yolov7 import YOLOv7Criterion
from training.recipe import Augmentation, Recipe, Schedule

GAINS = Gains(classes=0.3, objectness=0.7)
P5 = Recipe(
    criterion=partial(YOLOv7Criterion, gains=GAINS),
    source="YOLOv7 (arXiv:2207.02696), settings `p5`",
    schedule=Schedule(kind="cosine", final=0.1, warmup_bias_lr=0.1, warmup_momentum=0.8),
    augmentation=Augmentation(
        mosaic_nine=0.2, mixup=0.15, mixup_beta=8.0, translate=0.2, scale=(0.1, 2.0), max_aspect=20.0
    ),
)
P6 = replace(
    P5,
    criterion=partial(YOLOv7Criterion, gains=GAINS, lead_top_k=20),  # 10 in the paper, 20 in the release
    source="YOLOv7 (arXiv:2207.02696), settings `p6`",
    schedule=replace(P5.schedule, final=0.2),
)
TINY = replace(
    P5,
    criterion=partial(YOLOv7Criterion, gains=Gains()),
    source="YOLOv7 (arXiv:2207.02696), settings `tiny`",
    schedule=replace(P5.schedule, final=0.01),
)


def recipe(variant: str) -> Recipe:
    """Return the recipe of a variant of YOLOv7."""
    if variant in yolov7_p6.VARIANTS:
        return P6
    return TINY if variant == "yolov7-tiny" else P5
