"""How YOLOv1 is trained (arXiv:1506.02640, section 2.2), on VOC 2007 and 2012.

Darknet's lr is for the mean gradient over the images of a step, however many: 64 in all its papers. Steps of fewer, 16
at the least, keep the lr here; weight decay is per image.

The paper's lr rises from 1e-3 to 1e-2 "for the first epochs" (we say three) and begins from convolutions that are
pre-trained as a classifier. From random weights that diverges within a dozen steps, for the last layer is linear and
sees 12,544 numbers at once; we take a tenth of it and clip gradients, which does not.
"""

from __future__ import annotations

from training.losses.yolov1 import YOLOv1Criterion
from training.recipe import Augmentation, Optimizer, Recipe, Schedule

RECIPE = Recipe(
    criterion=YOLOv1Criterion,
    source="arXiv:1506.02640, section 2.2",
    reduction="per_image",
    optimizer=Optimizer(
        lr=1e-3, momentum=0.9, nesterov=False, weight_decay=5e-4 * 16 / 64, nominal_batch=16, clip_norm=20.0
    ),
    schedule=Schedule(kind="step", milestones=(75 / 135, 105 / 135), warmup_from=0.1),
    augmentation=Augmentation(
        mosaic=0.0,
        translate=0.0,
        scale=(1.0, 1.0),
        color="factors",
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
