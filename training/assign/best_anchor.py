"""Darknet's assigner since YOLOv2: an object is learned in the cell of its center, by the anchor most like it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.anchor_slots import Predictions, SlotAssignment, best_overlaps, slot_rows
from training.batch import Targets
from training.boxes import pairwise_iou, shape_iou


@dataclass(frozen=True)
class BestAnchor:
    """Give an object to the anchor, of all levels, whose shape overlaps its own most (arXiv:1804.02767, section 2.1).

    ignore_above: predictions whose box overlaps an object more than this are no negatives. also_above: an anchor whose
    shape overlaps the object's more than this learns it too (YOLOv4). learn_above: a prediction whose box overlaps an
    object more than this learns it too. by_prediction: compare the shapes that are predicted, not the anchors'
    (YOLOv2, `bias_match` 0).
    """

    ignore_above: float = 0.5
    also_above: float = 1.0
    learn_above: float = 1.0
    by_prediction: bool = False

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Targets) -> SlotAssignment:
        """Assign the objects of a batch."""
        overlap = best_overlaps(predictions.boxes, targets)
        rows = slot_rows(predictions.levels, targets.boxes)
        target, slot = self._fitting(predictions, rows, targets).nonzero(as_tuple=True)
        image, row = (overlap > self.learn_above).nonzero(as_tuple=True)
        own = targets.image_index[:, None] == image
        nearest = torch.where(own, pairwise_iou(targets.boxes, predictions.boxes[image, row]), -1)
        return SlotAssignment(
            torch.cat([image, targets.image_index[target]]),
            torch.cat([row, rows[target, slot]]),
            torch.cat([nearest.argmax(0), target]) if len(image) else target,
            overlap > self.ignore_above,
        )

    def _fitting(self, predictions: Predictions, rows: Tensor, targets: Targets) -> Tensor:
        """Say which slots (T, K), whose predictions are `rows`, learn an object."""
        anchors, wanted = predictions.levels.anchors.flatten(0, 1), targets.boxes[:, 2:] - targets.boxes[:, :2]
        own = predictions.boxes[targets.image_index[:, None], rows]
        shapes = own[..., 2:] - own[..., :2] if self.by_prediction else anchors
        fit = shape_iou(wanted[:, None], shapes)
        twins = (anchors[:, None] == anchors).all(-1)  # tiny YOLOv4 has one anchor on two levels: both learn
        return twins[fit.argmax(1)] | (fit > self.also_above)
