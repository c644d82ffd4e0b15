"""Recipe of YOLOv4 and Scaled-YOLOv4 (arXiv:2004.10934, section 4, and Darknet's yolov4.cfg), on COCO.

500,500 batches of 64 are 271 epochs. The paper tries many more techniques than its configuration uses; this is the
configuration.

Darknet's gain of the box loss, 0.07, multiplies a derivative that lacks factors of decoding. It is larger
than the derivative of the loss, in proportion to the image size. On the reference case of 160 pixels it is ten
times as large (median over predictions). So a gain of 2 gives boxes the weight they have in Darknet.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from training.losses.yolov4 import Gains, YOLOv4Criterion
from training.recipe import Recipe
from training.recipes import yolov2

RECIPE = replace(
    yolov2.RECIPE,
    criterion=partial(YOLOv4Criterion, gains=Gains(box=2.0)),
    source="arXiv:2004.10934 and Darknet's yolov4.cfg",
    optimizer=replace(yolov2.RECIPE.optimizer, lr=1.3e-3, momentum=0.949),
    schedule=replace(yolov2.RECIPE.schedule, milestones=(400_000 / 500_500, 450_000 / 500_500)),
    augmentation=replace(yolov2.RECIPE.augmentation, mosaic=1.0, mosaic_canvas=1, multi_scale=(1 / 1.4, 1.4)),
    epochs=271,
)


def recipe(variant: str) -> Recipe:  # noqa: ARG001 - one recipe for all variants
    """Return the recipe of a variant of YOLOv4."""
    return RECIPE
