"""Recipe of YOLOv2 (arXiv:1612.08242, section 3), on VOC, with `burn_in` and `jitter` from its configuration.

Pre-training the classifier, first at 224 and then at 448 pixels, is not part of it.
"""

from __future__ import annotations

from dataclasses import replace

from training.losses.yolov2 import YOLOv2Criterion
from training.recipe import Recipe, Schedule
from training.recipes import yolov1

RECIPE = replace(
    yolov1.RECIPE,
    criterion=YOLOv2Criterion,
    source="arXiv:1612.08242, section 3",
    optimizer=replace(yolov1.RECIPE.optimizer, lr=1e-3, clip_norm=0.0),
    schedule=Schedule(
        kind="step", milestones=(60 / 160, 90 / 160), warmup_epochs=0.0, warmup_min_steps=1000, warmup_power=4.0
    ),
    augmentation=replace(yolov1.RECIPE.augmentation, hue=0.1, crop_jitter=0.3, multi_scale=(320 / 416, 608 / 416)),
    epochs=160,
)


def recipe(variant: str) -> Recipe:  # noqa: ARG001 - one recipe for all variants
    """Return the recipe of a variant of YOLOv2."""
    return RECIPE
