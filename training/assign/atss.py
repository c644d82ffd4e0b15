"""Adaptive training sample selection (ATSS, arXiv:1912.02424, section 3.2): the warm-up assigner of YOLOv6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.base import ScoredAssignment, resolve_conflicts
from training.assign.cell_grids import Grid, cell_centers, cell_strides
from training.batch import Targets
from training.boxes import iou


@dataclass(frozen=True)
class ATSS:
    """Assign by the IoU of objects with one square anchor per cell.

    Candidates of an object are the cells nearest to its center. It claims those whose anchor has a higher IoU than
    their mean + standard deviation and whose center is inside its box. A cell with several claims goes to the object
    of the image that its anchor overlaps most. Scores are the IoUs of predictions and objects.
    """

    top_k: int = 9
    """Candidates of an object per level."""
    anchor_scale: float = 5.0
    """Side of the anchor in strides."""

    @torch.no_grad()
    def __call__(self, boxes: Tensor, grids: Sequence[Grid], targets: Targets) -> ScoredAssignment:
        """Return the assignment of predicted boxes (B, N, 4), xyxy in pixels."""
        centers, halves = cell_centers(grids, boxes), cell_strides(grids, boxes) * (self.anchor_scale / 2)
        anchors = torch.cat([centers - halves, centers + halves], dim=1)
        candidates = self._candidates(centers, grids, targets.boxes)
        overlaps = iou(anchors[candidates], targets.boxes[:, None])
        mean = overlaps.mean(1, keepdim=True)
        deviation = ((overlaps - mean).square().sum(1, keepdim=True) / (overlaps.shape[1] - 1)).sqrt()
        points, corners = centers[candidates], targets.boxes[:, None]
        inside = ((points > corners[..., :2]) & (points < corners[..., 2:])).all(-1)
        target, column = (inside & (overlaps > mean + deviation)).nonzero(as_tuple=True)

        def measure(_image: Tensor, row: Tensor, target: Tensor) -> Tensor:
            return iou(anchors[row], targets.boxes[target])

        claims = targets.image_index[target], candidates[target, column], target
        image, row, target = resolve_conflicts(*claims, targets, boxes.shape[:2], measure)
        return ScoredAssignment(image, row, target, iou(boxes[image, row], targets.boxes[target]))

    def _candidates(self, centers: Tensor, grids: Sequence[Grid], boxes: Tensor) -> Tensor:
        """Return the nearest cells (T, levels * top_k) of each object, level by level."""
        box_centers, nearest, first = (boxes[:, :2] + boxes[:, 2:]) / 2, [], 0
        for level in centers.split([grid.height * grid.width for grid in grids]):
            distances = torch.cdist(box_centers, level, compute_mode="donot_use_mm_for_euclid_dist")
            nearest.append(first + distances.topk(min(self.top_k, len(level)), largest=False).indices)
            first += len(level)
        return torch.cat(nearest, dim=1)
