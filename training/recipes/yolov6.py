"""Recipes of YOLOv6 (arXiv:2209.02976, sections 2.2 and 3.1, and arXiv:2301.05586 for 3.0).

Optimizer and schedule are YOLOv5's with a longer warm-up and cosine decay. The lr is the same for any batch, because
losses are means. Release 0.1.0 (`-v1`) trains as YOLOX did then, with SIoU. 2.0 starts with ATSS, 3.0 with TAL. N and T
use the SIoU loss for boxes; S, M and L use GIoU.

Omitted: self-distillation, the auxiliary branches of 3.0, and RepOptimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from model_zoo.detector import Detector
from training.assign.simota import FIRST_RELEASES
from training.boxes import giou, siou
from training.losses.criterion import Criterion
from training.losses.yolov6 import YOLOv6Criterion
from training.losses.yolox import YOLOXCriterion
from training.recipe import Augmentation, Optimizer, Recipe, Schedule

SMALL = Recipe(
    criterion=YOLOv6Criterion,
    source="YOLOv6 (arXiv:2209.02976), sections 2.2 and 3.1",
    reduction="mean",
    optimizer=Optimizer(accumulate=False, nominal_batch=0),
    schedule=Schedule(kind="cosine", warmup_min_steps=1000),
    augmentation=Augmentation(close_mosaic=15),
    epochs=400,
)
LARGE = replace(SMALL, augmentation=replace(SMALL.augmentation, mixup=0.1), epochs=300)
VERSION_1 = partial(YOLOXCriterion, assigner=FIRST_RELEASES, measure=partial(siou, absolute=torch.abs), always_l1=True)


def recipe(variant: str) -> Recipe:
    """Return the recipe of a variant of YOLOv6."""
    size = variant.removeprefix("yolov6")[0]  # test variants have a hyphen after the family
    return replace(LARGE if size in "ml" else SMALL, criterion=_criterion(variant, size))


def _criterion(variant: str, size: str) -> Callable[[Detector], Criterion]:
    if variant.endswith("-v1"):
        return VERSION_1
    return partial(YOLOv6Criterion, measure=giou if size in "sml" else siou, warmup_epochs=0 if "-v3" in variant else 4)
