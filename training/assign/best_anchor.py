"""Darknet's assigner since YOLOv2: the cell of the object's center, and the anchor with the most similar shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.anchor_slots import AnchorPredictions, max_overlaps, slot_rows
from training.assign.base import RowAssignment
from training.batch import Targets
from training.boxes import pairwise_iou, shape_iou


@dataclass(frozen=True)
class BestAnchor:
    """Assign an object to the anchor, of all levels, with the highest shape IoU (arXiv:1804.02767, section 2.1)."""

    ignore_above: float = 0.5
    """IoU with any object above which a prediction is ignored."""
    also_above: float = 1.0
    """Shape IoU above which further anchors learn the object (YOLOv4)."""
    learn_above: float = 1.0
    """IoU with an object above which a prediction learns that object too."""
    by_prediction: bool = False
    """Whether to compare predicted shapes instead of anchors (YOLOv2, `bias_match` 0)."""

    @torch.no_grad()
    def __call__(self, predictions: AnchorPredictions, targets: Targets) -> RowAssignment:
        """Assign the objects of a batch."""
        overlap = max_overlaps(predictions.boxes, targets)
        rows = slot_rows(predictions.levels, targets.boxes)
        target, slot = self._matching(predictions, rows, targets).nonzero(as_tuple=True)
        image, row = (overlap > self.learn_above).nonzero(as_tuple=True)
        same_image = targets.image_index[:, None] == image
        overlaps = torch.where(same_image, pairwise_iou(targets.boxes, predictions.boxes[image, row]), -1)
        return RowAssignment(
            torch.cat([image, targets.image_index[target]]),
            torch.cat([row, rows[target, slot]]),
            torch.cat([overlaps.argmax(0), target]) if len(image) else target,
            overlap > self.ignore_above,
        )

    def _matching(self, predictions: AnchorPredictions, rows: Tensor, targets: Targets) -> Tensor:
        """Return a (T, K) mask of the slots that learn an object. `rows` (T, K) are their predictions."""
        anchors, sizes = predictions.levels.anchors.flatten(0, 1), targets.boxes[:, 2:] - targets.boxes[:, :2]
        predicted = predictions.boxes[targets.image_index[:, None], rows]
        shapes = predicted[..., 2:] - predicted[..., :2] if self.by_prediction else anchors
        overlap = shape_iou(sizes[:, None], shapes)
        twins = (anchors[:, None] == anchors).all(-1)  # tiny YOLOv4 has one anchor on two levels: both learn
        return twins[overlap.argmax(1)] | (overlap > self.also_above)
