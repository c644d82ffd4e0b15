"""Recipes of YOLOX (arXiv:2107.08430, sections 2.1 to 2.3, and the release's settings).

Small networks train with weaker mosaics and without mixup, as in section 2.3.
"""

from __future__ import annotations

import math
from dataclasses import replace

from training.losses.yolox import YOLOXCriterion
from training.recipe import Augmentation, Optimizer, Recipe, Schedule

LARGE = Recipe(
    criterion=YOLOXCriterion,
    source="YOLOX (arXiv:2107.08430), sections 2.1 to 2.3",
    reduction="mean",
    optimizer=Optimizer(momentum=0.9, accumulate=False),
    schedule=Schedule(
        kind="cosine",
        final=0.05,
        by_step=True,
        warmup_epochs=5.0,
        warmup_min_steps=0,
        warmup_power=2.0,
        flat_epochs=15,
    ),
    augmentation=Augmentation(
        mixup=1.0,
        mixup_beta=0.0,
        degrees=10.0,
        scale=(0.1, 2.0),
        shear=2.0,
        affine="corner",
        min_side=1.0,
        min_area=0.0,
        max_aspect=math.inf,
        color="levels",
        hue=5.0,
        saturation=30.0,
        value=30.0,
        close_mosaic=15,
        multi_scale=(0.75, 1.25),
    ),
    ema_decay=0.9998,
)
SMALL = replace(LARGE, augmentation=replace(LARGE.augmentation, mixup=0.0, scale=(0.5, 1.5)))


def recipe(variant: str) -> Recipe:
    """Return the recipe of a variant of YOLOX."""
    return SMALL if variant in ("yolox-nano", "yolox-tiny", "yolox-test") else LARGE
