"""MMDetection's assigner for YOLOv3: anchors as boxes in their cells, compared with the objects by plain IoU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.anchor_slots import Predictions, SlotAssignment, best_overlaps, by_image, slot_rows
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy, pairwise_iou


@dataclass(frozen=True)
class MaxIoUGrid:
    """Let anchors learn the objects whose boxes they are like; only those in cells that hold an object's center.

    Of these, an anchor whose best overlap is above `positive` learns that object; and an object is always learned by
    the anchor that overlaps it most, if only a little, and by all that do equally. Of several such objects the last
    counts. Anchors anywhere are negatives if their best overlap is not above `negative`.
    """

    positive: float = 0.5
    negative: float = 0.5

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Targets) -> SlotAssignment:
        """Assign the objects of a batch, each prediction to one at most."""
        priors = predictions.priors
        anchors = cxcywh_to_xyxy(torch.cat([(priors[:, :2] + 0.5) * priors[:, 2:3], priors[:, 3:5]], dim=1))
        overlap = best_overlaps(anchors.expand_as(predictions.boxes), targets)
        owners = torch.full_like(overlap, -1, dtype=torch.int64)
        for owner, objects in zip(owners, by_image(targets, len(owners)), strict=True):
            if len(objects):
                rows = slot_rows(predictions.levels, targets.boxes[objects]).unique()
                owner[rows] = self._owners(pairwise_iou(targets.boxes[objects], anchors[rows]), objects)
        image, row = (owners >= 0).nonzero(as_tuple=True)
        return SlotAssignment(image, row, owners[image, row], overlap > self.negative)

    def _owners(self, overlaps: Tensor, objects: Tensor) -> Tensor:
        """Return which of the objects (G,) each anchor (R,) learns, -1 for none, by their overlaps (G, R)."""
        alike = torch.where(overlaps.amax(0) > self.positive, objects[overlaps.argmax(0)], -1)
        highest = overlaps.amax(1, keepdim=True)
        claims = (overlaps == highest) & (highest > 0)
        return torch.where(claims.any(0), torch.where(claims, objects[:, None], -1).amax(0), alike)
