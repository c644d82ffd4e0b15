"""YOLOv1's assigner: the cell of an object's center, and its nearest predictor (arXiv:1506.02640, section 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.batch import Targets
from training.boxes import iou, xyxy_to_cxcywh


class CellAssignment(NamedTuple):
    """Which predictor of which cell learns which object: int64 (P,) each, one entry per cell that has an object."""

    image: Tensor
    cell: Tensor
    predictor: Tensor
    target: Tensor


class ResponsiblePredictor:
    """Give an object to the predictor of its cell whose box overlaps it most; where none does, to the nearest.

    The nearest has the least root mean square error of center and size. A cell has one object, the first listed.
    """

    def __call__(self, boxes: Tensor, cells: int, targets: Targets) -> CellAssignment:
        """Assign objects to predicted boxes (B, S * S, n, 4) xyxy, both in shares of the canvas; `cells` is S."""
        truth = xyxy_to_cxcywh(targets.boxes)
        column, row = (truth[:, :2] * cells).long().clamp(0, cells - 1).unbind(-1)  # a center may be on the border
        cell = row * cells + column
        first = _first_of_each(targets.image_index * cells**2 + cell, boxes.shape[0] * cells**2)
        image, cell, target = targets.image_index[first], cell[first], first
        own, wanted = boxes[image, cell], targets.boxes[first, None]
        overlap = iou(own, wanted)
        error = (xyxy_to_cxcywh(own) - truth[first, None]).square().sum(-1)
        predictor = torch.where((overlap > 0).any(1), overlap.argmax(1), error.argmin(1))
        return CellAssignment(image, cell, predictor, target)


def _first_of_each(keys: Tensor, count: int) -> Tensor:
    """Return, rising, the positions (P,) at which a key of 0..count - 1 is met for the first time."""
    first = keys.new_full((count,), len(keys)).scatter_reduce_(0, keys, torch.arange(len(keys)).to(keys), "amin")
    return first[first < len(keys)].sort().values
