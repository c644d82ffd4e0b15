"""How YOLOv1 is trained (arXiv:1506.02640, section 2.2), on VOC 2007 and 2012.

The paper pre-trains its first 20 convolutions as a classifier; without, the network learns the same way, more slowly.
Its lr begins at a tenth and rises over "the first epochs": we say three.
"""

from __future__ import annotations

from training.losses.yolov1 import YOLOv1Criterion
from training.recipe import Augmentation, Optimizer, Recipe, Schedule

RECIPE = Recipe(
    criterion=YOLOv1Criterion,
    source="arXiv:1506.02640, section 2.2",
    reduction="per_image",
    optimizer=Optimizer(lr=1e-2, momentum=0.9, nesterov=False),
    schedule=Schedule(kind="step", milestones=(75 / 135, 105 / 135), warmup_from=0.1),
    augmentation=Augmentation(
        mosaic=0.0,
        translate=0.0,
        scale=(1.0, 1.0),
        colour="factors",
        hue=0.0,
        saturation=0.5,
        value=0.5,
        crop_jitter=0.2,
    ),
    epochs=135,
    ema_decay=0.0,
)


def recipe(variant: str) -> Recipe:  # noqa: ARG001 - all variants learn alike
    """Return the recipe of a variant of YOLOv1."""
    return RECIPE
