"""Adaptive training sample selection (ATSS, arXiv:1912.02424, section 3.2), with which YOLOv6 begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.cell_grids import Assignment, Grid, centers_of, settle, strides_of, take
from training.batch import Targets
from training.boxes import iou


@dataclass(frozen=True)
class ATSS:
    """Assign by the overlap of boxes with one square anchor per cell, `anchor` strides a side.

    Candidates of an object are the `nearest` cells of each level. It takes those whose anchor overlaps it more than
    their mean + standard deviation and whose center is inside its box; one that several take goes to the object of
    the image that its anchor overlaps most. Scores are the overlaps of the predictions with their objects.
    """

    nearest: int = 9
    anchor: float = 5.0

    @torch.no_grad()
    def __call__(self, boxes: Tensor, grids: Sequence[Grid], targets: Targets) -> Assignment:
        """Return the assignment of boxes (B, N, 4) xyxy in pixels."""
        centers, halves = centers_of(grids, boxes), strides_of(grids, boxes) * (self.anchor / 2)
        anchors = torch.cat([centers - halves, centers + halves], dim=1)
        candidates = self._candidates(centers, grids, targets.boxes)
        overlaps = iou(anchors[candidates], targets.boxes[:, None])
        mean = overlaps.mean(1, keepdim=True)
        deviation = ((overlaps - mean).square().sum(1, keepdim=True) / (overlaps.shape[1] - 1)).sqrt()
        points, corners = centers[candidates], targets.boxes[:, None]
        inside = ((points > corners[..., :2]) & (points < corners[..., 2:])).all(-1)
        objects, column = (inside & (overlaps > mean + deviation)).nonzero(as_tuple=True)
        claimed = targets.image_index[objects] * len(anchors) + candidates[objects, column]

        def measure(objects: Tensor, predictions: Tensor) -> Tensor:
            return iou(anchors[predictions % len(anchors)], targets.boxes[objects])

        chosen, owners = settle(claimed, objects, targets, boxes.shape[:2], measure)
        return Assignment(chosen, owners, iou(take(boxes, chosen), targets.boxes[owners]))

    def _candidates(self, centers: Tensor, grids: Sequence[Grid], boxes: Tensor) -> Tensor:
        """Return the nearest cells (T, levels * nearest) of each object, level by level."""
        middles, nearest, first = (boxes[:, :2] + boxes[:, 2:]) / 2, [], 0
        for part in centers.split([grid.height * grid.width for grid in grids]):
            distances = torch.cdist(middles, part, compute_mode="donot_use_mm_for_euclid_dist")
            nearest.append(first + distances.topk(min(self.nearest, len(part)), largest=False).indices)
            first += len(part)
        return torch.cat(nearest, dim=1)
