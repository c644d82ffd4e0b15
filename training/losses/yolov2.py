"""The criterion of YOLOv2: centers bound to their cell, IoU as objectness, softmax (arXiv:1612.08242, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_slots import RowAssigner
from training.assign.base import RowAssignment
from training.assign.best_anchor import BestAnchor
from training.batch import Targets
from training.boxes import iou
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import (
    Reader,
    area_fractions,
    box_errors,
    cross_entropy,
    encode,
    negative_mask,
    squared_error,
)


@dataclass(frozen=True)
class Gains:
    """Weights of the losses."""

    box: float = 1.0
    """Weight of boxes."""
    object: float = 5.0
    """Weight of objectness of predictions with an object."""
    no_object: float = 1.0
    """Weight of objectness of predictions that learn that there is none."""
    classes: float = 1.0
    """Weight of classes."""
    warm_start: float = 0.01
    """Weight of the loss that pulls every box to its anchor at the start of a run."""
    warm_images: int = 12800
    """Number of images at the start of a run that have the warm-start loss."""
    rescore: bool = True
    """Whether objectness learns the IoU with the object (the paper), or 1."""
    squared: bool = False
    """Squared errors of x, y and objectness, boxes of all sizes weighted alike (Darknet at the time of the paper)."""


class YOLOv2Criterion(Criterion):
    """Losses of YOLOv2 in Darknet, summed over the images of the batch.

    A prediction assigned to several objects learns the last. Its objectness learns the IoU of its box with the object.
    The objectness of other predictions learns 0, except where their IoU with an object is high.
    """

    def __init__(self, detector: Detector, assigner: RowAssigner | None = None, gains: Gains | None = None) -> None:
        super().__init__()
        self.read, self.gains = Reader(detector), gains or Gains()
        self.assigner = assigner or BestAnchor(ignore_above=0.6)
        self.error = squared_error if self.gains.squared else cross_entropy

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        predictions = self.read(maps)
        raw, priors, boxes, levels, _ = predictions
        targets = targets._replace(boxes=targets.boxes.to(raw))
        assigned, _ = self.assigner(predictions, targets).merge()
        image, row, target, _ = assigned
        positive, truth, gains = raw[image, row], targets.boxes[target], self.gains
        overlap = iou(boxes[image, row], truth) if gains.rescore else torch.ones_like(truth[:, 0])
        weight = torch.ones_like(overlap) if gains.squared else 2 - area_fractions(truth, levels)
        errors = box_errors(positive, encode(truth, priors[row]), self.error)
        negative = raw[..., 4][negative_mask(assigned)]
        objectness = gains.object * self.error(positive[:, 4], overlap).sum()
        classes = F.cross_entropy(predictions.classes(image, row), targets.class_ids[target], reduction="sum")
        parts = {
            "box": gains.box * (weight * errors).sum(),
            "objectness": objectness + gains.no_object * self.error(negative, torch.zeros_like(negative)).sum(),
            "classes": gains.classes * classes,
        }
        if context.images_seen < gains.warm_images:
            parts["warm_start"] = gains.warm_start * self._warm_start(raw, assigned)
        return Losses.of(parts)

    def _warm_start(self, raw: Tensor, assigned: RowAssignment) -> Tensor:
        """Return the errors of all boxes without an object against their anchor in the center of their cell."""
        free = torch.ones_like(assigned.ignored)
        free[assigned.image, assigned.row] = False
        boxes = raw[..., :4][free]
        return box_errors(boxes, raw.new_tensor([0.5, 0.5, 0, 0]).expand_as(boxes), self.error).sum()
