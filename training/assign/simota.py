"""SimOTA (YOLOX, arXiv:2107.08430, section 2.1): each object takes the few predictions that cost it least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.assign.cell_grids import PAIRS, Assignment, Grid, around, covered, settle, take
from training.batch import Targets
from training.boxes import iou

MOST = 10  # predictions an object takes; as many of its best overlaps are summed to say how many
MIN_LOG = -100.0  # what the logarithm of a probability of 0 counts for


class Predictions(NamedTuple):
    """Boxes (B, N, 4) xyxy in pixels, logits of the classes (B, N, C) and of objectness (B, N)."""

    boxes: Tensor
    classes: Tensor
    objectness: Tensor


@dataclass(frozen=True)
class SimOTA:
    """Assign by cost = BCE(sqrt(class x objectness), one-hot) - 3 ln(IoU + iou_floor).

    A cell is near an object if its center lies within `radius` strides of the object's on both axes. Candidates of an
    image are all cells near any of its objects; with `or_inside` also those inside any box. A pair of an object and a
    candidate that is not near it (with `or_inside`: near and inside) costs `penalty` more. An object takes the
    cheapest candidates, as many as its ten best overlaps sum to, at least one; one that several take goes to the
    object of the image that it costs least.
    """

    radius: float = 1.5
    or_inside: bool = False
    penalty: float = 1e6
    iou_floor: float = 1e-8

    @torch.no_grad()
    def __call__(self, predictions: Predictions, grids: Sequence[Grid], targets: Targets) -> Assignment:
        """Return the assignment; scores are the overlaps of the predictions with their objects."""
        wanted, own = self._priors(targets.boxes, grids)
        counts = targets.image_index.bincount(minlength=len(predictions.boxes))
        candidates = torch.stack([part.any(0) for part in wanted.split(counts.tolist())])
        costs = _Costs(self, predictions, candidates, own, targets)
        chosen, objects = settle(*_claims(costs), targets, candidates.shape, costs.cheapness)
        return Assignment(chosen, objects, iou(take(predictions.boxes, chosen), targets.boxes[objects]))

    def _priors(self, boxes: Tensor, grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
        """Say of objects and cells (T, N) which make a candidate, and which pairs go without penalty."""
        near = around(boxes, self.radius, grids)
        if not self.or_inside:
            return near, near
        inside = covered(boxes, grids)
        return near | inside, near & inside


FIRST_RELEASES = SimOTA(radius=2.5, or_inside=True, penalty=1e5)  # of YOLOX until 0.3.0, of YOLOv6 0.1.0


class _Costs:
    """Costs of pairs of an object and a candidate, from tables of the candidates (B, K), image by image.

    BCE against a one-hot target is a sum over all classes, which is the same for every object, and a change at its own
    class: so nothing here has a number for every object, candidate and class.
    """

    def __init__(
        self, rule: SimOTA, predictions: Predictions, candidates: Tensor, own: Tensor, targets: Targets
    ) -> None:
        self.rule, self.own, self.targets = rule, own, targets
        counts = candidates.sum(1, keepdim=True)
        self.absent = torch.arange(int(counts.max()), device=own.device) >= counts
        places = candidates.nonzero()[:, 1]
        self.places = torch.zeros_like(self.absent, dtype=torch.int64).masked_scatter(~self.absent, places)
        self.columns = candidates.cumsum(1) - 1
        image = torch.arange(len(counts), device=own.device)[:, None]
        self.boxes, classes, objectness = (x[image, self.places] for x in predictions)
        probability = (classes.sigmoid() * objectness.sigmoid()[..., None]).sqrt()
        no, yes = (-log.clamp(min=MIN_LOG) for log in (torch.log1p(-probability), probability.log()))
        self.classes = (no.sum(2, keepdim=True) - no + yes).transpose(1, 2).contiguous()

    def of(self, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Return cost and overlap (G, K) of objects (G,) with all candidates of their images."""
        image, boxes = self.targets.image_index[objects], self.targets.boxes[objects]
        overlap = iou(self.boxes[image], boxes[:, None]).masked_fill(self.absent[image], 0)
        own = self.own[objects].gather(1, self.places[image])
        cost = self._cost(overlap, self.classes[image, self.targets.class_ids[objects]], own)
        return cost.masked_fill(self.absent[image], torch.inf), overlap

    def cheapness(self, objects: Tensor, predictions: Tensor) -> Tensor:
        """Return the negative cost of objects with predictions, index tensors that broadcast."""
        image, place = predictions // self.own.shape[1], predictions % self.own.shape[1]
        column = self.columns[image, place]
        overlap = iou(self.boxes[image, column], self.targets.boxes[objects])
        classes = self.classes[image, self.targets.class_ids[objects], column]
        return -self._cost(overlap, classes, self.own[objects, place])

    def _cost(self, overlap: Tensor, classes: Tensor, own: Tensor) -> Tensor:
        cost = classes - 3 * (overlap + self.rule.iou_floor).log()
        # In float32 a penalty of 1e6 would swallow the differences between costs.
        return cost.double() + self.rule.penalty * ~own


def _claims(costs: _Costs) -> tuple[Tensor, Tensor]:
    """Let every object take its cheapest candidates; return the predictions and who takes them."""
    width, places = costs.places.shape[1], costs.own.shape[1]
    ranks, claims = torch.arange(min(MOST, width), device=costs.own.device), []
    for objects in torch.arange(len(costs.own), device=costs.own.device).split(max(PAIRS // max(width, 1), 1)):
        cost, overlap = costs.of(objects)
        most = overlap.topk(len(ranks)).values.sum(1, keepdim=True).int().clamp(min=1)
        cheapest = cost.topk(len(ranks), largest=False)
        row, rank = ((ranks < most) & cheapest.values.isfinite()).nonzero(as_tuple=True)
        image = costs.targets.image_index[objects[row]]
        claims.append((image * places + costs.places[image, cheapest.indices[row, rank]], objects[row]))
    predictions, claimants = zip(*claims, strict=True)
    return torch.cat(predictions), torch.cat(claimants)
