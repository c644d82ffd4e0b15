"""SimOTA (YOLOX, arXiv:2107.08430, section 2.1): each object gets the predictions of lowest cost, a dynamic number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.assign.base import MAX_PAIRS, ScoredAssignment, resolve_conflicts
from training.assign.cell_grids import Grid, inside_boxes, near_centers
from training.batch import Targets
from training.boxes import iou

TOP_K = 10  # IoUs that are summed to the number of predictions of an object
MIN_LOG = -100.0  # lower bound of the logarithm of a probability


class CellPredictions(NamedTuple):
    """Predictions of a batch, one per cell."""

    boxes: Tensor
    """Boxes (B, N, 4), xyxy in pixels."""
    classes: Tensor
    """Class logits (B, N, C)."""
    objectness: Tensor
    """Objectness logits (B, N)."""


@dataclass(frozen=True)
class SimOTA:
    """Assign by cost = BCE(sqrt(class * objectness), one-hot) - 3 ln(IoU + iou_floor).

    Candidates of an image are the cells near any of its objects; with `or_inside` also those inside any box. An object
    claims its candidates of lowest cost, as many as its ten highest IoUs sum to, at least one. A prediction with
    several claims goes to the object of the image with the lowest cost. Scores are the IoUs of predictions and objects.
    """

    radius: float = 1.5
    """Maximum distance from cell center to object center on both axes, in strides, for a cell to be near."""
    or_inside: bool = False
    """Whether cells inside a box are candidates too."""
    penalty: float = 1e6
    """Additional cost of pairs that are not near, or with `or_inside` not both near and inside."""
    iou_floor: float = 1e-8
    """Number added to the IoU to keep its logarithm finite."""

    @torch.no_grad()
    def __call__(self, predictions: CellPredictions, grids: Sequence[Grid], targets: Targets) -> ScoredAssignment:
        """Return the assignment."""
        eligible, preferred = self._eligible(targets.boxes, grids)
        counts = targets.image_index.bincount(minlength=len(predictions.boxes))
        candidates = torch.stack([part.any(0) for part in eligible.split(counts.tolist())])
        costs = _Costs(self, predictions, candidates, preferred, targets)
        image, row, target = resolve_conflicts(*_claims(costs), targets, candidates.shape, costs.negative)
        return ScoredAssignment(image, row, target, iou(predictions.boxes[image, row], targets.boxes[target]))

    def _eligible(self, boxes: Tensor, grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
        """Return two (T, N) masks of objects and cells: pairs that make a candidate, and pairs without penalty."""
        near = near_centers(boxes, self.radius, grids)
        if not self.or_inside:
            return near, near
        inside = inside_boxes(boxes, grids)
        return near | inside, near & inside


FIRST_RELEASES = SimOTA(radius=2.5, or_inside=True, penalty=1e5)  # YOLOX before 0.3.0, YOLOv6 0.1.0


class _Costs:
    """Costs of pairs of an object and a candidate, from tables of the candidates (B, K) of each image.

    BCE against a one-hot target is a sum over all classes, equal for every object, plus a change at its own class.
    So no tensor has an element for every object, candidate and class.
    """

    def __init__(
        self, rule: SimOTA, predictions: CellPredictions, candidates: Tensor, preferred: Tensor, targets: Targets
    ) -> None:
        self.rule, self.preferred, self.targets = rule, preferred, targets
        counts = candidates.sum(1, keepdim=True)
        self.padding = torch.arange(int(counts.max()), device=preferred.device) >= counts
        rows = candidates.nonzero()[:, 1]
        self.rows = torch.zeros_like(self.padding, dtype=torch.int64).masked_scatter(~self.padding, rows)
        self.columns = candidates.cumsum(1) - 1
        image = torch.arange(len(counts), device=preferred.device)[:, None]
        self.boxes, classes, objectness = (x[image, self.rows] for x in predictions)
        probability = (classes.sigmoid() * objectness.sigmoid()[..., None]).sqrt()
        absent, present = (-log.clamp(min=MIN_LOG) for log in (torch.log1p(-probability), probability.log()))
        self.classes = (absent.sum(2, keepdim=True) - absent + present).transpose(1, 2).contiguous()

    def of(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return cost and IoU (G, K) of objects (G,) with all candidates of their images."""
        image, boxes = self.targets.image_index[target], self.targets.boxes[target]
        overlap = iou(self.boxes[image], boxes[:, None]).masked_fill(self.padding[image], 0)
        preferred = self.preferred[target].gather(1, self.rows[image])
        cost = self._cost(overlap, self.classes[image, self.targets.class_ids[target]], preferred)
        return cost.masked_fill(self.padding[image], torch.inf), overlap

    def negative(self, image: Tensor, row: Tensor, target: Tensor) -> Tensor:
        """Return the negative cost of candidates with objects, index tensors that broadcast."""
        column = self.columns[image, row]
        overlap = iou(self.boxes[image, column], self.targets.boxes[target])
        classes = self.classes[image, self.targets.class_ids[target], column]
        return -self._cost(overlap, classes, self.preferred[target, row])

    def _cost(self, overlap: Tensor, classes: Tensor, preferred: Tensor) -> Tensor:
        cost = classes - 3 * (overlap + self.rule.iou_floor).log()
        # In float32 a penalty of 1e6 would swallow the differences between costs.
        return cost.double() + self.rule.penalty * ~preferred


def _claims(costs: _Costs) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, row and target (P,) of each object's candidates of lowest cost."""
    width = costs.rows.shape[1]
    ranks, claims = torch.arange(min(TOP_K, width), device=costs.rows.device), []
    for chunk in torch.arange(len(costs.preferred), device=costs.rows.device).split(max(MAX_PAIRS // max(width, 1), 1)):
        cost, overlap = costs.of(chunk)
        count = overlap.topk(len(ranks)).values.sum(1, keepdim=True).int().clamp(min=1)
        lowest = cost.topk(len(ranks), largest=False)
        index, rank = ((ranks < count) & lowest.values.isfinite()).nonzero(as_tuple=True)
        image = costs.targets.image_index[chunk[index]]
        claims.append((image, costs.rows[image, lowest.indices[index, rank]], chunk[index]))
    image, row, target = (torch.cat(part) for part in zip(*claims, strict=True))
    return image, row, target
