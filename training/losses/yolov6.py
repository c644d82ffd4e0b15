"""The criterion of YOLOv6 from 2.0 on (arXiv:2209.02976, section 2.2): ATSS, then TAL, and the varifocal loss.

Branches that a head has only in training (anchor-aided predictions, distilled distances: arXiv:2301.05586, sections
2.2 and 2.3) are not trained. The paper does not define the centers of the former, and the latter need a teacher.
The maps of the lead are first; the others are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.efficient import BINS, EfficientHead
from training.assign.atss import ATSS
from training.assign.base import ScoredAssignment
from training.assign.cell_grids import make_grids
from training.assign.tal import TAL
from training.batch import Targets
from training.boxes import giou
from training.loop.distributed import average_over_ranks
from training.losses.criterion import Criterion, Losses, StepContext

BOX, DFL = 2.5, 0.5  # weights of the losses; that of the classes is 1
ABSENT = 0.75  # weight of an absent class, times its score squared
MAX_DISTANCE = BINS - 1 - 0.01  # maximum distance that is learned as a distribution, in cells


class YOLOv6Criterion(Criterion):
    """Losses 2.5 (1 - measure) of boxes, varifocal of classes and, where distances are distributions, 0.5 DFL.

    Box and DFL losses are weighted by the score that the class of their object learns. All losses are summed and
    divided by the sum of these scores if it exceeds 1.

    Args:
        detector: Detector to train.
        measure: Measure of the IoU family.
        warmup_epochs: Number of epochs that use ATSS.
    """

    def __init__(
        self, detector: Detector, measure: Callable[[Tensor, Tensor], Tensor] = giou, warmup_epochs: int = 4
    ) -> None:
        super().__init__()
        head = detector.head
        assert isinstance(head, EfficientHead)
        self.rows, self.priors, self.locate = head.rows, head.priors, head.locate
        self.strides, self.box_numbers = head.strides, head.box_numbers
        self.measure, self.warmup_epochs = measure, warmup_epochs

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        """Return the losses of raw maps (B, 4 * bins + C, h, w): box, classes, and dfl if there are bins."""
        rows, priors = self.rows(maps), self.priors(maps).to(maps[0])
        raw, logits = rows.split([self.box_numbers, rows.shape[2] - self.box_numbers], dim=2)
        grids = make_grids(maps[: len(self.strides)], self.strides)
        targets = targets._replace(boxes=targets.boxes.to(raw))
        boxes = self.locate(raw.detach(), priors)
        warmup = context.epoch < self.warmup_epochs
        assigned = ATSS()(boxes, grids, targets) if warmup else TAL()(boxes, logits.detach(), grids, targets)
        count = average_over_ranks(assigned.score.sum()).clamp(min=1)
        parts = self._box_parts(raw, priors, targets, assigned)
        parts["classes"] = _varifocal(logits, targets.class_ids[assigned.target], assigned)
        return Losses.of({name: part / count for name, part in parts.items()})

    def _box_parts(
        self, raw: Tensor, priors: Tensor, targets: Targets, assigned: ScoredAssignment
    ) -> dict[str, Tensor]:
        raw, truth = raw[assigned.image, assigned.row], targets.boxes[assigned.target]
        priors = priors[assigned.row]
        losses = {"box": BOX * (1 - self.measure(self.locate(raw, priors), truth))}
        if self.box_numbers > 4:
            strides = priors[:, 2:]
            centers = (priors[:, :2] + 0.5) * strides
            distances = torch.cat([centers - truth[:, :2], truth[:, 2:] - centers], dim=1) / strides
            losses["dfl"] = DFL * _distribution_focal(raw, distances)
        return {name: (assigned.score * loss).sum() for name, loss in losses.items()}


def _distribution_focal(raw: Tensor, distances: Tensor) -> Tensor:
    """Return the loss (P,) of logits (P, 4 * BINS) against distances (P, 4), averaged over the sides.

    DFL (arXiv:2006.04388): the goal is a distribution over the two integers around the distance.
    """
    logs: Tensor = raw.unflatten(1, (4, BINS)).log_softmax(dim=2)
    distances = distances.clamp(0, MAX_DISTANCE)
    below = distances.long()
    above_share = distances - below
    below_log, above_log = (logs.gather(2, bins[..., None])[..., 0] for bins in (below, below + 1))
    return -(below_log * (1 - above_share) + above_log * above_share).mean(1)


def _varifocal(logits: Tensor, class_ids: Tensor, assigned: ScoredAssignment) -> Tensor:
    """Return the summed varifocal loss of logits (B, N, C) (VFL, arXiv:2008.13367, section 3.2).

    The class of an object: BCE against its score, weighted by that score. All other classes: BCE against 0, weighted by
    their predicted score squared.
    """
    present = logits[assigned.image, assigned.row, class_ids]
    loss = F.binary_cross_entropy_with_logits(present, assigned.score, assigned.score, reduction="sum")
    return _absent_loss(logits) - _absent_loss(present) + loss


def _absent_loss(logits: Tensor) -> Tensor:
    """Return the summed loss of absent classes."""
    loss: Tensor = logits.sigmoid().square() * F.softplus(logits)
    return ABSENT * loss.sum()
