"""The criterion of YOLOv3 as MMDetection (3.3) has it: its own assigner, and boxes of all sizes count the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_slots import SlotAssigner
from training.assign.max_iou_grid import MaxIoUGrid
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import Reader, cross_entropy, encode, negatives

INSIDE = 1e-6  # a center is at least so far, in cells, from the border of its cell: its logit stays finite


@dataclass(frozen=True)
class Gains:
    """How much each loss counts; the defaults are those of MMDetection's COCO configurations.

    smoothing: of class labels, towards 1 / C. mean: whether a loss is summed over levels of its mean over all numbers
    of the level, also those that learn nothing (the default of MMDetection's class), or over all numbers.
    """

    center: float = 2.0
    size: float = 2.0
    objectness: float = 1.0
    classes: float = 1.0
    smoothing: float = 0.0
    mean: bool = False


class MMDetYOLOv3Criterion(Criterion):
    """Losses of YOLOv3 in MMDetection, summed over the images of the batch."""

    def __init__(self, detector: Detector, assigner: SlotAssigner | None = None, gains: Gains | None = None) -> None:
        super().__init__()
        self.read, self.assigner, self.gains = Reader(detector), assigner or MaxIoUGrid(), gains or Gains()

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - always alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        predictions = self.read(maps)
        raw, gains = predictions.raw, self.gains
        targets = targets._replace(boxes=targets.boxes.to(raw))
        assigned, _ = self.assigner(predictions, targets).merge()
        image, row, target, _ = assigned
        learning, classes = raw[image, row], predictions.classes(image, row)
        wanted = encode(targets.boxes[target], predictions.priors[row])
        centers = cross_entropy(learning[:, :2], wanted[:, :2].clamp(INSIDE, 1 - INSIDE))
        sizes = (learning[:, 2:4] - wanted[:, 2:]).square()
        labels = F.one_hot(targets.class_ids[target], classes.shape[1]).to(raw)
        labels = labels * (1 - gains.smoothing) + gains.smoothing / labels.shape[1]
        of_none, elsewhere = negatives(assigned).nonzero(as_tuple=True)
        objectness = torch.cat([F.softplus(-learning[:, 4:5]), F.softplus(raw[of_none, elsewhere, 4:5])])
        weights = self._weights(maps)
        box = gains.center * self._sum(centers, weights[row]) + gains.size * self._sum(sizes, weights[row])
        return Losses.of(
            {
                "box": box,
                "objectness": gains.objectness * self._sum(objectness, weights[torch.cat([row, elsewhere])]),
                "classes": gains.classes * self._sum(cross_entropy(classes, labels), weights[row]),
            }
        )

    def _sum(self, losses: Tensor, weights: Tensor) -> Tensor:
        """Sum the losses (P, n) of weighted predictions."""
        return (weights * (losses.mean(1) if self.gains.mean else losses.sum(1))).sum()

    def _weights(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the weight of each row (N,): 1, or for means 1 / predictions of its level in the batch."""
        counts = [m[..., 0].numel() for m in maps]
        each = [
            m.new_full((count // len(m),), 1 / count if self.gains.mean else 1)
            for m, count in zip(maps, counts, strict=True)
        ]
        return torch.cat(each)
