"""Recipe of YOLOv1 (arXiv:1506.02640, section 2.2), on VOC 2007 and 2012.

Darknet's lr is for the mean gradient over the images of a step, whatever their number: 64 in all its papers. Steps of
fewer images, at least 16, keep the lr here. Weight decay is per image.

The paper raises the lr from 1e-3 to 1e-2 "for the first epochs" (here three) and starts from convolutions pre-trained
as a classifier. From random weights that diverges within a dozen steps, because the last layer is linear and has 12,544
inputs. A tenth of that lr and clipped gradients do not diverge, so this recipe uses them.
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


def recipe(variant: str) -> Recipe:  # noqa: ARG001 - one recipe for all variants
    """Return the recipe of a variant of YOLOv1."""
    return RECIPE
