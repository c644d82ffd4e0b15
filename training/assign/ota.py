"""YOLOv7's assigner: of the candidates that YOLOv5's rule proposes, each object gets the cheapest few.

Optimal transport, approximated as in YOLOX (arXiv:2107.08430, section 2.1; arXiv:2207.02696, section 4.2): an object
takes as many candidates as its best overlaps sum to, and a candidate wanted by several goes where it is cheapest. All
candidates of an image compete, of every level. Candidates are not merged: a prediction proposed for two objects is
there twice and may end with both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.assign.anchor_ratio import Matches
from training.batch import Targets
from training.boxes import pairwise_iou

IOU_WEIGHT = 3.0  # of -ln IoU against the cost of the classes
PAIRS_AT_ONCE = 2_000_000  # object-candidate pairs in memory


class Candidates(NamedTuple):
    """Candidates and what they predict.

    boxes: (R, 4) xyxy in pixels. odds: (R, C) log odds of the geometric mean p of objectness and class. background:
    (R,) cost of being no class, -sum ln(1 - p). The cross-entropy with one class is background - odds of that class.
    """

    boxes: Tensor
    odds: Tensor
    background: Tensor

    @classmethod
    def of(cls, boxes: Tensor, raw: Tensor) -> Candidates:
        """Describe candidates by their boxes (R, 4) and their raw objectness and classes (R, 1 + C)."""
        yes = F.logsigmoid(raw)
        yes = (yes[:, 1:] + yes[:, :1]) / 2
        yes = yes.clamp(max=-torch.finfo(raw.dtype).tiny)  # a certain prediction has finite odds
        no = torch.log(-torch.expm1(yes))
        return cls(boxes, yes - no, -no.sum(1))

    def between(self, start: int, end: int) -> Candidates:
        """Return the candidates from `start` to `end`."""
        return Candidates(*(column[start:end] for column in self))


@torch.no_grad()
def ota_matches(matches: Matches, boxes: Tensor, raw: Tensor, targets: Targets, top: int) -> Matches:
    """Return those candidates that learn an object, each with its object, in the order of levels and images.

    matches: candidates (R); their targets do not matter. boxes: (R, 4) predicted, xyxy in pixels. raw: (R, 1 + C)
    predicted objectness and classes. top: how many overlaps are summed to the number of candidates of an object.
    """
    order = matches.image.argsort(stable=True)
    candidates = Candidates.of(boxes[order], raw[order])
    ends = _ends(matches.image, targets)
    owner = torch.full_like(order, -1)
    first_row = first_object = 0
    for last_row, last_object in ends:
        if last_row > first_row:
            mine = candidates.between(first_row, last_row)
            objects = slice(first_object, last_object)
            local = _owners(mine, targets.boxes[objects], targets.class_ids[objects], top)
            owner[first_row:last_row] = local.where(local < 0, local + first_object)
        first_row, first_object = last_row, last_object
    return _owned(matches.pick(order)._replace(target=owner))


def _ends(image: Tensor, targets: Targets) -> list[tuple[int, int]]:
    """Count candidates and objects up to the end of each image."""
    images = int(targets.image_index[-1]) + 1 if len(targets.image_index) else 0
    rows, objects = (torch.bincount(index, minlength=images).cumsum(0) for index in (image, targets.image_index))
    return list(zip(rows.tolist(), objects.tolist(), strict=True))


def _owned(matches: Matches) -> Matches:
    """Return the matches that have a target, in the order of levels."""
    matches = matches.pick(matches.target >= 0)
    return matches.pick(matches.level.argsort(stable=True))


def _owners(candidates: Candidates, boxes: Tensor, class_ids: Tensor, top: int) -> Tensor:
    """Return for each candidate (R,) of an image the object that it learns, -1 for none."""
    count = len(candidates.boxes)
    claims = torch.zeros(count, dtype=torch.int64, device=boxes.device)
    owner = torch.full_like(claims, -1)
    lowest, cheapest = candidates.background.new_full((count,), torch.inf), owner
    step = max(1, PAIRS_AT_ONCE // count)
    for start in range(0, len(boxes), step):
        overlap = pairwise_iou(boxes[start : start + step], candidates.boxes)
        cost = candidates.background - candidates.odds[:, class_ids[start : start + step]].T
        cost = cost - IOU_WEIGHT * torch.log(overlap + 1e-8)
        rows, objects = _claims(cost, overlap, top)
        claims += torch.bincount(rows, minlength=count)
        owner[rows] = objects + start
        least, objects = cost.min(0)
        cheapest = torch.where(least < lowest, objects + start, cheapest)
        lowest = torch.minimum(least, lowest)
    return torch.where(claims > 1, cheapest, owner)


def _claims(cost: Tensor, overlap: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Return the candidates that objects want and the object of each; cost and overlap: (G, R)."""
    count = cost.shape[1]
    wanted = overlap.topk(min(top, count), dim=1).values.sum(1).long().clamp(1, count)
    rows, objects = [], []
    for (
        k
    ) in wanted.unique().tolist():  # one k at a time: which of equal costs are taken depends on it, as in the original
        who = (wanted == k).nonzero()[:, 0]
        rows.append(cost[who].topk(k, dim=1, largest=False).indices.flatten())
        objects.append(who.repeat_interleave(k))
    return torch.cat(rows), torch.cat(objects)
