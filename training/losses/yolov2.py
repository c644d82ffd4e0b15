"""The criterion of YOLOv2: boxes bound to their cell, overlap as objectness, one softmax (arXiv:1612.08242, 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_slots import SlotAssigner, SlotAssignment
from training.assign.best_anchor import BestAnchor
from training.batch import Targets
from training.boxes import iou
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import Reader, box_errors, cross_entropy, encode, negatives, shares, squared_error


@dataclass(frozen=True)
class Gains:
    """How much each loss counts.

    warm_start: of the pull of every box to its anchor, while fewer than warm_images images were seen. rescore: whether
    objectness learns the overlap with the object (the paper), or 1. squared: errors of x, y and objectness are halves
    of squared ones, and small boxes count no more than large ones (Darknet at the time of the paper).
    """

    box: float = 1.0
    object: float = 5.0
    no_object: float = 1.0
    classes: float = 1.0
    warm_start: float = 0.01
    warm_images: int = 12800
    rescore: bool = True
    squared: bool = False


class YOLOv2Criterion(Criterion):
    """Losses of YOLOv2 in Darknet, summed over the images of the batch.

    A prediction that is the best for several objects learns the last. Its objectness learns how much its box overlaps
    the object; that of others learns 0, unless they overlap an object well.
    """

    def __init__(self, detector: Detector, assigner: SlotAssigner | None = None, gains: Gains | None = None) -> None:
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
        learning, truth, gains = raw[image, row], targets.boxes[target], self.gains
        overlap = iou(boxes[image, row], truth) if gains.rescore else torch.ones_like(truth[:, 0])
        weight = torch.ones_like(overlap) if gains.squared else 2 - shares(truth, levels)
        errors = box_errors(learning, encode(truth, priors[row]), self.error)
        others = raw[..., 4][negatives(assigned)]
        objectness = gains.object * self.error(learning[:, 4], overlap).sum()
        classes = F.cross_entropy(predictions.classes(image, row), targets.class_ids[target], reduction="sum")
        parts = {
            "box": gains.box * (weight * errors).sum(),
            "objectness": objectness + gains.no_object * self.error(others, torch.zeros_like(others)).sum(),
            "classes": gains.classes * classes,
        }
        if context.images_seen < gains.warm_images:
            parts["warm_start"] = gains.warm_start * self._pull(raw, assigned)
        return Losses.of(parts)

    def _pull(self, raw: Tensor, assigned: SlotAssignment) -> Tensor:
        """Errors of all boxes that learn no object, which should be their anchor in the middle of their cell."""
        free = torch.ones_like(assigned.ignored)
        free[assigned.image, assigned.row] = False
        pulled = raw[..., :4][free]
        return box_errors(pulled, raw.new_tensor([0.5, 0.5, 0, 0]).expand_as(pulled), self.error).sum()
