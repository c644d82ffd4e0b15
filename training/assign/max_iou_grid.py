"""MMDetection's assigner for YOLOv3: the IoU of objects with anchors, placed as boxes in their cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.anchor_slots import AnchorPredictions, max_overlaps, slot_rows
from training.assign.base import RowAssignment, split_by_image
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy, pairwise_iou


@dataclass(frozen=True)
class MaxIoUGrid:
    """Assign objects to anchors by IoU, among the anchors in cells that contain the center of an object.

    An anchor learns the object it overlaps most if their IoU is above `positive`. An object is also learned by the
    anchor that overlaps it most, and by all with the same IoU, unless that is 0. If an anchor has several such objects,
    it learns the last one.
    """

    positive: float = 0.5
    """IoU above which an anchor learns an object."""
    negative: float = 0.5
    """Highest IoU up to which an anchor of any cell learns that there is no object."""

    @torch.no_grad()
    def __call__(self, predictions: AnchorPredictions, targets: Targets) -> RowAssignment:
        """Assign the objects of a batch, at most one to each prediction."""
        priors = predictions.priors
        anchors = cxcywh_to_xyxy(torch.cat([(priors[:, :2] + 0.5) * priors[:, 2:3], priors[:, 3:5]], dim=1))
        overlap = max_overlaps(anchors.expand_as(predictions.boxes), targets)
        owners = torch.full_like(overlap, -1, dtype=torch.int64)
        for owner, objects in zip(owners, split_by_image(targets, len(owners)), strict=True):
            if len(objects):
                rows = slot_rows(predictions.levels, targets.boxes[objects]).unique()
                owner[rows] = self._owners(pairwise_iou(targets.boxes[objects], anchors[rows]), objects)
        image, row = (owners >= 0).nonzero(as_tuple=True)
        return RowAssignment(image, row, owners[image, row], overlap > self.negative)

    def _owners(self, overlaps: Tensor, objects: Tensor) -> Tensor:
        """Return the object (of `objects` (G,)) that each anchor (R,) learns, or -1, given their IoUs (G, R)."""
        similar = torch.where(overlaps.amax(0) > self.positive, objects[overlaps.argmax(0)], -1)
        highest = overlaps.amax(1, keepdim=True)
        claims = (overlaps == highest) & (highest > 0)
        return torch.where(claims.any(0), torch.where(claims, objects[:, None], -1).amax(0), similar)
