"""The criterion of YOLOv6 from 2.0 on (arXiv:2209.02976, section 2.2): ATSS, then TAL; varifocal loss; no objectness.

What a head adds for training alone (predictions on anchors, taught distances: arXiv:2301.05586, sections 2.2 and 2.3)
does not learn: the paper leaves open how the former's centers are read, and the latter need a teacher. The lead learns
alone; its maps come first, and the others are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.efficient import BINS, EfficientHead
from training.assign.atss import ATSS
from training.assign.cell_grids import Assignment, Grid, centers_of, grids_of, strides_of, take
from training.assign.tal import TAL
from training.batch import Targets
from training.boxes import giou
from training.loop.distributed import average_over_ranks
from training.losses.criterion import Criterion, Losses, StepContext

BOX, DFL = 2.5, 0.5  # weights; the classes' is 1
ABSENT = 0.75  # weight of a class that is not there, times its score squared
LAST = BINS - 1 - 0.01  # the longest distance that is learned as a distribution, in cells


class YOLOv6Criterion(Criterion):
    """Losses 2.5 (1 - measure) of boxes, varifocal of classes and, where distances are distributions, 0.5 DFL.

    Box and DFL losses count as much as the score that their object should get; all is summed and divided by the sum
    of these scores where it exceeds 1. measure: of overlap, boxes xyxy row with row. warmup_epochs: epochs that ATSS
    assigns, before TAL.
    """

    def __init__(
        self, detector: Detector, measure: Callable[[Tensor, Tensor], Tensor] = giou, warmup_epochs: int = 4
    ) -> None:
        super().__init__()
        head = detector.head
        assert isinstance(head, EfficientHead)
        self.strides, self.box_numbers, self.distances = head.strides, head.box_numbers, head.distances
        self.measure, self.warmup_epochs = measure, warmup_epochs

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        """Return the losses of raw maps (B, 4 * bins + C, h, w); parts: box, classes, dfl where there are bins."""
        maps = maps[: len(self.strides)]
        raw = torch.cat([m.flatten(2) for m in maps], dim=2).transpose(1, 2)
        numbers, logits = raw.split([self.box_numbers, raw.shape[2] - self.box_numbers], dim=2)
        grids, targets = grids_of(maps, self.strides), targets._replace(boxes=targets.boxes.to(raw))
        boxes = self._boxes(numbers.detach(), centers_of(grids, raw), strides_of(grids, raw))
        warming = context.epoch < self.warmup_epochs
        assigned = ATSS()(boxes, grids, targets) if warming else TAL()(boxes, logits.detach(), grids, targets)
        count = average_over_ranks(assigned.scores.sum()).clamp(min=1)
        parts = self._box_parts(numbers, grids, targets, assigned)
        parts["classes"] = _varifocal(logits, targets.class_ids[assigned.objects], assigned)
        return Losses.of({name: part / count for name, part in parts.items()})

    def _boxes(self, numbers: Tensor, centers: Tensor, strides: Tensor) -> Tensor:
        """Decode the numbers of boxes (..., 4 * bins) in cells of these centers and strides to xyxy in pixels."""
        low, high = (self.distances(numbers) * strides).chunk(2, dim=-1)
        return torch.cat([centers - low, centers + high], dim=-1)

    def _box_parts(
        self, numbers: Tensor, grids: Sequence[Grid], targets: Targets, assigned: Assignment
    ) -> dict[str, Tensor]:
        rows, wanted = take(numbers, assigned.predictions), targets.boxes[assigned.objects]
        places = assigned.predictions % numbers.shape[1]
        centers, strides = (of(grids, numbers)[places] for of in (centers_of, strides_of))
        losses = {"box": BOX * (1 - self.measure(self._boxes(rows, centers, strides), wanted))}
        if self.box_numbers > 4:
            distances = torch.cat([centers - wanted[:, :2], wanted[:, 2:] - centers], dim=1) / strides
            losses["dfl"] = DFL * _distribution_focal(rows, distances)
        return {name: (assigned.scores * loss).sum() for name, loss in losses.items()}


def _distribution_focal(numbers: Tensor, distances: Tensor) -> Tensor:
    """Loss (P,) of logits (P, 4 * BINS) against distances (P, 4), the mean of the sides (DFL, arXiv:2006.04388).

    A distance is a distribution over the whole distances around it.
    """
    logs: Tensor = numbers.unflatten(1, (4, BINS)).log_softmax(dim=2)
    distances = distances.clamp(0, LAST)
    below = distances.long()
    above_share = distances - below
    below_log, above_log = (logs.gather(2, bins[..., None])[..., 0] for bins in (below, below + 1))
    return -(below_log * (1 - above_share) + above_log * above_share).mean(1)


def _varifocal(logits: Tensor, class_ids: Tensor, assigned: Assignment) -> Tensor:
    """Sum the varifocal loss of logits (B, N, C) (VFL, arXiv:2008.13367, section 3.2).

    BCE against the score that an object's class should get, weighted by it; for all other classes against 0, weighted
    by their own scores squared.
    """
    places = logits.shape[1]
    own = logits[assigned.predictions // places, assigned.predictions % places, class_ids]
    present = F.binary_cross_entropy_with_logits(own, assigned.scores, assigned.scores, reduction="sum")
    return _absent(logits) - _absent(own) + present


def _absent(logits: Tensor) -> Tensor:
    """Sum the loss of classes that are not there."""
    loss: Tensor = logits.sigmoid().square() * F.softplus(logits)
    return ABSENT * loss.sum()
