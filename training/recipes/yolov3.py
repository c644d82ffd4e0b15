"""Recipes of YOLOv3 on COCO: Darknet's (arXiv:1804.02767 and its configuration) and MMDetection's.

Darknet's 500,200 batches of 64 are 271 epochs of COCO. Darknet ignores predictions with an overlap above 0.7 as
negatives on COCO, and above 0.5 on VOC, as in the paper.

MMDetection sums its losses over the 8 images of a GPU and averages gradients over 8 GPUs. Here lr and clip_norm are for
the mean over images: 8 times and an eighth of its configuration. Augmentation places images on a canvas of up to twice
their size, then resizes and flips them, as MMDetection does. Its selection of crops by overlap is omitted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from training.assign.best_anchor import BestAnchor
from training.losses.yolov3 import YOLOv3Criterion
from training.losses.yolov3_mmdet import MMDetYOLOv3Criterion
from training.recipe import Recipe, Schedule
from training.recipes import yolov2

COCO = replace(
    yolov2.RECIPE,
    criterion=partial(YOLOv3Criterion, assigner=BestAnchor(ignore_above=0.7)),
    source="arXiv:1804.02767 and Darknet's yolov3.cfg",
    schedule=replace(yolov2.RECIPE.schedule, milestones=(400_000 / 500_200, 450_000 / 500_200)),
    epochs=271,
)
VOC = replace(COCO, criterion=YOLOv3Criterion, source="arXiv:1804.02767 and Darknet's yolov3-voc.cfg")
MMDET = replace(
    COCO,
    criterion=MMDetYOLOv3Criterion,
    source="MMDetection 3.3, configs/yolo, Darknet-53 at 608",
    optimizer=replace(COCO.optimizer, lr=8e-3, clip_norm=35 / 8),
    schedule=Schedule(
        kind="step", milestones=(218 / 273, 246 / 273), warmup_epochs=0.0, warmup_min_steps=2000, warmup_from=0.1
    ),
    augmentation=replace(
        COCO.augmentation, scale=(0.5, 1.0), translate=0.25, crop_jitter=0.0, hue=0.05, multi_scale=(320 / 608, 1.0)
    ),
    epochs=273,
)


def recipe(variant: str) -> Recipe:
    """Return the recipe of a variant of YOLOv3."""
    return {"yolov3-mmdet": MMDET, "yolov3-voc": VOC}.get(variant, COCO)
