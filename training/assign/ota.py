"""OTA, the matching in YOLOv7's lead-guided assigner: each object gets the candidates of lowest cost.

Optimal transport, approximated as in YOLOX (arXiv:2107.08430, section 2.1; arXiv:2207.02696, section 4.2). An object
claims as many candidates as its highest IoUs sum to. A candidate with several claims goes to the object with the lowest
cost. Candidates of all levels compete. They are not merged: a prediction proposed for two objects is in the list twice
and may learn both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.assign.base import MAX_PAIRS, AnchorAssignment
from training.batch import Targets
from training.boxes import pairwise_iou

IOU_WEIGHT = 3.0  # of -ln IoU against the cost of the classes
IOU_FLOOR = 1e-8  # keeps the logarithm of the IoU finite


class Candidates(NamedTuple):
    """Predictions of the candidates.

    The cross-entropy with one class is `background` minus the `odds` of that class.
    """

    boxes: Tensor
    """Boxes (R, 4), xyxy in pixels."""
    odds: Tensor
    """Log odds (R, C) of p, the geometric mean of objectness and class."""
    background: Tensor
    """Cost (R,) of being no class: -sum ln(1 - p)."""

    @classmethod
    def of(cls, boxes: Tensor, raw: Tensor) -> Candidates:
        """Describe candidates by their boxes (R, 4) and their raw objectness and classes (R, 1 + C)."""
        present = F.logsigmoid(raw)
        present = (present[:, 1:] + present[:, :1]) / 2
        present = present.clamp(max=-torch.finfo(raw.dtype).tiny)  # keeps the odds of p = 1 finite
        absent = torch.log(-torch.expm1(present))
        return cls(boxes, present - absent, -absent.sum(1))

    def between(self, start: int, end: int) -> Candidates:
        """Return the candidates from `start` to `end`."""
        return Candidates(*(column[start:end] for column in self))


@torch.no_grad()
def assign_by_ota(
    candidates: AnchorAssignment, boxes: Tensor, raw: Tensor, targets: Targets, top_k: int
) -> AnchorAssignment:
    """Return the candidates that learn an object, sorted by level and image.

    Args:
        candidates: R candidates, whose targets are not used.
        boxes: Predicted boxes (R, 4), xyxy in pixels.
        raw: Predicted objectness and classes (R, 1 + C).
        targets: Objects of the batch.
        top_k: Number of IoUs that are summed to the number of candidates of an object.
    """
    order = candidates.image.argsort(stable=True)
    predicted = Candidates.of(boxes[order], raw[order])
    owner = torch.full_like(order, -1)
    first_row = first_object = 0
    for last_row, last_object in _image_ends(candidates.image, targets):
        if last_row > first_row:
            objects = slice(first_object, last_object)
            rows = predicted.between(first_row, last_row)
            local = _owners(rows, targets.boxes[objects], targets.class_ids[objects], top_k)
            owner[first_row:last_row] = local.where(local < 0, local + first_object)
        first_row, first_object = last_row, last_object
    assigned = candidates.select(order)._replace(target=owner)
    assigned = assigned.select(assigned.target >= 0)
    return assigned.select(assigned.level.argsort(stable=True))


def _image_ends(image: Tensor, targets: Targets) -> list[tuple[int, int]]:
    """Return the number of candidates and of objects up to the end of each image."""
    images = int(targets.image_index[-1]) + 1 if len(targets.image_index) else 0
    rows, objects = (torch.bincount(index, minlength=images).cumsum(0) for index in (image, targets.image_index))
    return list(zip(rows.tolist(), objects.tolist(), strict=True))


def _owners(candidates: Candidates, boxes: Tensor, class_ids: Tensor, top_k: int) -> Tensor:
    """Return the object that each candidate (R,) of an image learns, or -1."""
    count = len(candidates.boxes)
    claims = torch.zeros(count, dtype=torch.int64, device=boxes.device)
    owner = torch.full_like(claims, -1)
    lowest, cheapest = candidates.background.new_full((count,), torch.inf), owner
    step = max(1, MAX_PAIRS // count)
    for start in range(0, len(boxes), step):
        overlap = pairwise_iou(boxes[start : start + step], candidates.boxes)
        cost = candidates.background - candidates.odds[:, class_ids[start : start + step]].T
        cost = cost - IOU_WEIGHT * torch.log(overlap + IOU_FLOOR)
        rows, objects = _claims(cost, overlap, top_k)
        claims += torch.bincount(rows, minlength=count)
        owner[rows] = objects + start
        chunk_lowest, objects = cost.min(0)
        cheapest = torch.where(chunk_lowest < lowest, objects + start, cheapest)
        lowest = torch.minimum(chunk_lowest, lowest)
    return torch.where(claims > 1, cheapest, owner)


def _claims(cost: Tensor, overlap: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the claimed candidates and the object of each claim, from cost and IoU (G, R)."""
    count = cost.shape[1]
    sizes = overlap.topk(min(top_k, count), dim=1).values.sum(1).long().clamp(1, count)
    rows, objects = [], []
    # One size at a time: which of equal costs topk returns depends on k, as in the original.
    for k in sizes.unique().tolist():
        chunk = (sizes == k).nonzero()[:, 0]
        rows.append(cost[chunk].topk(k, dim=1, largest=False).indices.flatten())
        objects.append(chunk.repeat_interleave(k))
    return torch.cat(rows), torch.cat(objects)
