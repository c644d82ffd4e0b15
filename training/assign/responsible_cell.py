"""YOLOv1's assigner: the responsible predictor of the cell that contains the center (arXiv:1506.02640, section 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.assign.base import CellAssignment
from training.batch import Targets
from training.boxes import iou, xyxy_to_cxcywh


class ResponsiblePredictor:
    """Assign an object to the predictor of its cell with the highest IoU, or to the nearest if none overlaps it.

    The nearest has the smallest squared error of center and size. A cell learns one object: the first listed.
    """

    def __call__(self, boxes: Tensor, cells: int, targets: Targets) -> CellAssignment:
        """Assign objects to predicted boxes (B, S * S, n, 4), both xyxy relative to the canvas. `cells` is S."""
        truth = xyxy_to_cxcywh(targets.boxes)
        column, row = (truth[:, :2] * cells).long().clamp(0, cells - 1).unbind(-1)  # a center may be on the border
        cell = row * cells + column
        first = _first_of_each(targets.image_index * cells**2 + cell, boxes.shape[0] * cells**2)
        image, cell, target = targets.image_index[first], cell[first], first
        predicted, expected = boxes[image, cell], targets.boxes[first, None]
        overlap = iou(predicted, expected)
        error = (xyxy_to_cxcywh(predicted) - truth[first, None]).square().sum(-1)
        predictor = torch.where((overlap > 0).any(1), overlap.argmax(1), error.argmin(1))
        return CellAssignment(image, cell, predictor, target)


def _first_of_each(keys: Tensor, count: int) -> Tensor:
    """Return the index (P,) of the first occurrence of each key of 0..count - 1, in ascending order."""
    first = keys.new_full((count,), len(keys)).scatter_reduce_(0, keys, torch.arange(len(keys)).to(keys), "amin")
    return first[first < len(keys)].sort().values
