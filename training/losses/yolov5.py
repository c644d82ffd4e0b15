"""The criterion of YOLOv5 (release 7.0, no paper): CIoU, objectness that learns the CIoU, independent classes.

YOLOv7 has the same losses and another assigner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from training.assign.anchor_ratio import assign_by_ratio
from training.assign.base import AnchorAssignment, AnchorLevels, as_convolved, gather
from training.batch import Targets
from training.boxes import ciou
from training.loop.distributed import average_over_ranks
from training.losses.criterion import Criterion, Losses, StepContext

BALANCE = {3: (4.0, 1.0, 0.4)}  # weights of objectness by number of levels: fine levels have many cells, few objects
LONG_BALANCE = (4.0, 1.0, 0.25, 0.06, 0.02)
BALANCED_STRIDE = 16  # the level whose weight autobalance keeps at 1


@dataclass(frozen=True)
class Gains:
    """Weights of the losses for 3 levels, 80 classes and 640 px. The criterion scales them to the network."""

    box: float = 0.05
    """Weight of boxes."""
    classes: float = 0.5
    """Weight of classes."""
    objectness: float = 1.0
    """Weight of objectness."""
    smoothing: float = 0.0
    """Smoothing of class labels towards 1/2."""
    focal: float = 0.0
    """Exponent of the focal loss (arXiv:1708.02002), or 0 to disable it."""
    positive_classes: float = 1.0
    """Weight of positive class labels."""
    positive_objectness: float = 1.0
    """Weight of positive objectness labels."""
    autobalance: bool = False
    """Whether the objectness weights of the levels follow their losses."""


class AnchorLosses(nn.Module):
    """Losses of YOLOv5 and YOLOv7 for an assignment.

    Box and class losses are means over a level's entries, objectness is the mean over its cells. Each is summed over
    levels and multiplied by the images of the batch. Anchors are the detector's at construction.
    """

    anchors: Tensor
    balance: Tensor

    def __init__(self, detector: Detector, gains: Gains) -> None:
        super().__init__()
        head = detector.head
        assert isinstance(head, AnchorHead)
        self.locate, self.strides, self.num_classes = head.locate, head.strides, head.num_classes
        self.gains = gains
        self.register_buffer("anchors", head.anchors.clone(), persistent=False)
        balance = BALANCE.get(len(self.strides), LONG_BALANCE)[: len(self.strides)]
        self.register_buffer("balance", torch.tensor(balance, dtype=torch.float64))

    def levels(self, maps: Sequence[Tensor]) -> AnchorLevels:
        """Return the grids and anchors of the maps, for an assigner."""
        return AnchorLevels.of(maps, self.anchors, self.strides)

    def forward(self, maps: Sequence[Tensor], targets: Targets, assigned: AnchorAssignment) -> dict[str, Tensor]:
        """Return the weighted losses by name: box, objectness, classes."""
        counts = torch.bincount(assigned.level, minlength=len(maps))
        counts = average_over_ranks(F.pad(counts, (0, 1), value=len(maps[0])).to(maps[0].dtype))
        per_level, batch = counts[:-1], counts[-1]
        share = (1 / per_level)[assigned.level]
        # Split first: the gradient of a split is assembled once, the gradients of overlapping views would be added up.
        split = [as_convolved(m).split([4, 1, self.num_classes], dim=2) for m in maps]
        boxes, objectness, classes = zip(*split, strict=True)
        overlap = self._overlap(gather(boxes, assigned), targets, self.levels(maps), assigned)
        scale, pixels = 3 / len(maps) * batch, self.strides[0] * max(maps[0].shape[2:4])
        weights = {
            "box": self.gains.box * scale,
            "objectness": self.gains.objectness * (pixels / 640) ** 2 * scale,
            "classes": self.gains.classes * self.num_classes / 80 * scale,
        }
        losses = {
            "box": ((1 - overlap) * share).sum(),
            "objectness": self._objectness(objectness, assigned, overlap.detach().clamp(min=0), batch),
            "classes": self._classes(gather(classes, assigned), targets.class_ids[assigned.target], share),
        }
        return {name: weights[name] * loss for name, loss in losses.items()}

    def _overlap(self, raw: Tensor, targets: Targets, levels: AnchorLevels, assigned: AnchorAssignment) -> Tensor:
        """Return the CIoU (P,) of predictions with their objects, in cells relative to the corner of their cell."""
        stride = levels.strides[assigned.level, None]
        anchors = levels.anchors[assigned.level, assigned.anchor] / stride
        origin = torch.zeros_like(anchors)
        boxes = self.locate(raw, torch.cat([origin, origin[:, :1] + 1, anchors], 1))
        corner = torch.stack([assigned.x, assigned.y], 1).repeat(1, 2)
        return ciou(boxes, targets.boxes[assigned.target] / stride - corner)

    def _objectness(self, maps: Sequence[Tensor], assigned: AnchorAssignment, overlap: Tensor, batch: Tensor) -> Tensor:
        """Return the loss of the objectness (B, A, 1, h, w). A prediction with several entries learns the last."""
        raw = torch.cat([m.flatten() for m in maps])
        last = torch.zeros_like(raw, dtype=torch.int64)
        entries = torch.arange(1, len(overlap) + 1, device=raw.device)
        last.scatter_reduce_(0, _flat_index(maps, assigned), entries, "amax")
        goals = F.pad(overlap, (1, 0))[last]
        losses = self._bce(raw, goals, self.gains.positive_objectness)
        per_image = [m[0].numel() for m in maps]
        sums = torch.stack([part.sum() for part in losses.split([len(maps[0]) * n for n in per_image])])
        by_level = sums / (batch * sums.new_tensor(per_image))
        total = (by_level * self.balance.to(by_level)).sum()
        if self.gains.autobalance and self.training:
            self._rebalance(average_over_ranks(by_level.detach()))
        return total

    def _classes(self, raw: Tensor, class_ids: Tensor, share: Tensor) -> Tensor:
        """Return the loss of class logits (P, C), or 0 if there is only one class."""
        if self.num_classes == 1:
            return raw.new_zeros(())
        one_hot = F.one_hot(class_ids, self.num_classes).to(raw.dtype)
        goals = one_hot * (1 - self.gains.smoothing) + self.gains.smoothing / 2
        return (self._bce(raw, goals, self.gains.positive_classes).mean(1) * share).sum()

    def _bce(self, raw: Tensor, goals: Tensor, positive: float) -> Tensor:
        """Return the binary cross-entropy or, if enabled, the focal loss, element by element."""
        losses = F.binary_cross_entropy_with_logits(raw, goals, pos_weight=raw.new_tensor(positive), reduction="none")
        if self.gains.focal:
            score = raw.sigmoid()
            error = goals + score - 2 * goals * score
            losses = losses * (0.75 - 0.5 * goals) * error**self.gains.focal
        return losses

    def _rebalance(self, by_level: Tensor) -> None:
        """Move the weights of the levels towards the inverse of their losses."""
        balance = 0.9999 * self.balance + 0.0001 / by_level.to(self.balance)
        self.balance = balance / balance[self.strides.index(BALANCED_STRIDE)]


class YOLOv5Criterion(Criterion):
    """Losses with YOLOv5's assigner. With YOLOv7's gains they are the plain loss of YOLOv7."""

    def __init__(self, detector: Detector, gains: Gains | None = None) -> None:
        super().__init__()
        self.losses = AnchorLosses(detector, gains or Gains())

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - every step alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        targets = targets._replace(boxes=targets.boxes.to(maps[0].dtype))
        assigned = assign_by_ratio(targets.boxes, targets.image_index, self.losses.levels(maps))
        return Losses.of(self.losses(maps, targets, assigned))


def _flat_index(maps: Sequence[Tensor], assigned: AnchorAssignment) -> Tensor:
    """Return the index (P,) of each entry's prediction in the concatenation of the flattened maps (B, A, 1, h, w)."""
    shapes = torch.tensor([m.shape for m in maps], device=assigned.level.device)
    ends = shapes.prod(1).cumsum(0)
    _, anchors, _, height, width = shapes[assigned.level].unbind(1)
    index = ((assigned.image * anchors + assigned.anchor) * height + assigned.y) * width + assigned.x
    return F.pad(ends, (1, 0))[assigned.level] + index
