"""The criterion of YOLOv3 in MMDetection (3.3): its own assigner, and boxes of all sizes weighted alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_slots import RowAssigner
from training.assign.max_iou_grid import MaxIoUGrid
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import Reader, cross_entropy, encode, negative_mask

MARGIN = 1e-6  # minimum distance of a center from the border of its cell, in cells, so that its logit stays finite


@dataclass(frozen=True)
class Gains:
    """Weights of the losses. The defaults are those of MMDetection's COCO configurations."""

    center: float = 2.0
    """Weight of x and y."""
    size: float = 2.0
    """Weight of width and height."""
    objectness: float = 1.0
    """Weight of objectness."""
    classes: float = 1.0
    """Weight of classes."""
    smoothing: float = 0.0
    """Smoothing of class labels towards 1 / C."""
    mean: bool = False
    """Whether to add up the mean over all numbers of each level (default of MMDetection's class), or all numbers."""


class MMDetYOLOv3Criterion(Criterion):
    """Losses of YOLOv3 in MMDetection, summed over the images of the batch."""

    def __init__(self, detector: Detector, assigner: RowAssigner | None = None, gains: Gains | None = None) -> None:
        super().__init__()
        self.read, self.assigner, self.gains = Reader(detector), assigner or MaxIoUGrid(), gains or Gains()

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - every step alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        predictions = self.read(maps)
        raw, gains = predictions.raw, self.gains
        targets = targets._replace(boxes=targets.boxes.to(raw))
        assigned, _ = self.assigner(predictions, targets).merge()
        image, row, target, _ = assigned
        positive, classes = raw[image, row], predictions.classes(image, row)
        goals = encode(targets.boxes[target], predictions.priors[row])
        centers = cross_entropy(positive[:, :2], goals[:, :2].clamp(MARGIN, 1 - MARGIN))
        sizes = (positive[:, 2:4] - goals[:, 2:]).square()
        labels = F.one_hot(targets.class_ids[target], classes.shape[1]).to(raw)
        labels = labels * (1 - gains.smoothing) + gains.smoothing / labels.shape[1]
        negative_image, negative_row = negative_mask(assigned).nonzero(as_tuple=True)
        negative = raw[negative_image, negative_row, 4:5]
        objectness = torch.cat([F.softplus(-positive[:, 4:5]), F.softplus(negative)])
        weights = self._weights(maps)
        box = gains.center * self._sum(centers, weights[row]) + gains.size * self._sum(sizes, weights[row])
        return Losses.of(
            {
                "box": box,
                "objectness": gains.objectness * self._sum(objectness, weights[torch.cat([row, negative_row])]),
                "classes": gains.classes * self._sum(cross_entropy(classes, labels), weights[row]),
            }
        )

    def _sum(self, losses: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum of the losses (P, n) of predictions."""
        return (weights * (losses.mean(1) if self.gains.mean else losses.sum(1))).sum()

    def _weights(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the weight of each row (N,): 1, or for means 1 / predictions of its level in the batch."""
        counts = [m[..., 0].numel() for m in maps]
        levels = [
            m.new_full((count // len(m),), 1 / count if self.gains.mean else 1)
            for m, count in zip(maps, counts, strict=True)
        ]
        return torch.cat(levels)
