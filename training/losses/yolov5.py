"""The criterion of YOLOv5 (release 7.0; there is no paper): CIoU, objectness that learns the CIoU, independent classes.

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
from training.assign.anchor_ratio import Levels, Matches, ratio_matches
from training.batch import Targets
from training.boxes import ciou
from training.loop.distributed import average_over_ranks
from training.losses.criterion import Criterion, Losses, StepContext

BALANCE = {3: (4.0, 1.0, 0.4)}  # of objectness, by number of levels: fine levels have many cells and few objects
LONG_BALANCE = (4.0, 1.0, 0.25, 0.06, 0.02)
BALANCED_STRIDE = 16  # whose weight autobalance holds at 1


@dataclass(frozen=True)
class Gains:
    """How much each loss counts, for 3 levels, 80 classes and 640 px; the criterion scales them to the network.

    smoothing: of class labels, towards 1/2. focal: exponent of the focal loss (arXiv:1708.02002), 0 for none.
    positive_classes, positive_objectness: weights of positive labels. autobalance: let the levels' weights of
    objectness follow their losses.
    """

    box: float = 0.05
    classes: float = 0.5
    objectness: float = 1.0
    smoothing: float = 0.0
    focal: float = 0.0
    positive_classes: float = 1.0
    positive_objectness: float = 1.0
    autobalance: bool = False


class AnchorLosses(nn.Module):
    """Losses of YOLOv5, and of YOLOv7, over an assigner's matches.

    Box and class losses are means over a level's matches, objectness over its cells; each is summed over levels and
    multiplied by the images of the batch. Anchors are the detector's at construction.
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

    def levels(self, maps: Sequence[Tensor]) -> Levels:
        """Return what an assigner needs to know of the maps."""
        return Levels.of(maps, self.anchors, self.strides)

    def forward(self, maps: Sequence[Tensor], targets: Targets, matches: Matches) -> dict[str, Tensor]:
        """Return the weighted losses by name: box, objectness, classes."""
        counts = torch.bincount(matches.level, minlength=len(maps))
        counts = average_over_ranks(F.pad(counts, (0, 1), value=len(maps[0])).to(maps[0].dtype))
        rows, batch = counts[:-1], counts[-1]
        share = (1 / rows)[matches.level]
        # Split first: the gradient of a split is put together in one go, that of overlapping views is added up.
        split = [as_convolved(m).split([4, 1, self.num_classes], dim=2) for m in maps]
        boxes, objectness, classes = zip(*split, strict=True)
        overlap = self._overlap(raw_rows(boxes, matches), targets, self.levels(maps), matches)
        scale, pixels = 3 / len(maps) * batch, self.strides[0] * max(maps[0].shape[2:4])
        weights = {
            "box": self.gains.box * scale,
            "objectness": self.gains.objectness * (pixels / 640) ** 2 * scale,
            "classes": self.gains.classes * self.num_classes / 80 * scale,
        }
        losses = {
            "box": ((1 - overlap) * share).sum(),
            "objectness": self._objectness(objectness, matches, overlap.detach().clamp(min=0), batch),
            "classes": self._classes(raw_rows(classes, matches), targets.class_ids[matches.target], share),
        }
        return {name: weights[name] * loss for name, loss in losses.items()}

    def _overlap(self, boxes: Tensor, targets: Targets, levels: Levels, matches: Matches) -> Tensor:
        """CIoU (R,) of predictions with their objects, in cells and from the corner of the prediction's cell."""
        stride = levels.strides[matches.level, None]
        anchors = levels.anchors[matches.level, matches.anchor] / stride
        origin = torch.zeros_like(anchors)
        predicted = self.locate(boxes, torch.cat([origin, origin[:, :1] + 1, anchors], 1))
        corner = torch.stack([matches.x, matches.y], 1).repeat(1, 2)
        return ciou(predicted, targets.boxes[matches.target] / stride - corner)

    def _objectness(self, maps: Sequence[Tensor], matches: Matches, overlap: Tensor, batch: Tensor) -> Tensor:
        """Loss of the objectness (B, A, 1, h, w) of all cells; where matches share one, it learns the last overlap."""
        raw = torch.cat([m.flatten() for m in maps])
        last = torch.zeros_like(raw, dtype=torch.int64)
        numbers = torch.arange(1, len(overlap) + 1, device=raw.device)
        last.scatter_reduce_(0, _cell_numbers(maps, matches), numbers, "amax")
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
        """Loss of the classes (R, C) of matches; a single class learns nothing."""
        if self.num_classes == 1:
            return raw.new_zeros(())
        wanted = F.one_hot(class_ids, self.num_classes).to(raw.dtype)
        goals = wanted * (1 - self.gains.smoothing) + self.gains.smoothing / 2
        return (self._bce(raw, goals, self.gains.positive_classes).mean(1) * share).sum()

    def _bce(self, raw: Tensor, goals: Tensor, positive: float) -> Tensor:
        """Binary cross-entropy, element by element; the focal loss where it is asked for."""
        losses = F.binary_cross_entropy_with_logits(raw, goals, pos_weight=raw.new_tensor(positive), reduction="none")
        if self.gains.focal:
            score = raw.sigmoid()
            surprise = goals + score - 2 * goals * score
            losses = losses * (0.75 - 0.5 * goals) * surprise**self.gains.focal
        return losses

    def _rebalance(self, by_level: Tensor) -> None:
        """Move the levels' weights towards the inverse of their losses."""
        balance = 0.9999 * self.balance + 0.0001 / by_level.to(self.balance)
        self.balance = balance / balance[self.strides.index(BALANCED_STRIDE)]


class YOLOv5Criterion(Criterion):
    """Losses over the matches of YOLOv5's assigner; with YOLOv7's gains, its plain loss."""

    def __init__(self, detector: Detector, gains: Gains | None = None) -> None:
        super().__init__()
        self.losses = AnchorLosses(detector, gains or Gains())

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - always alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        targets = targets._replace(boxes=targets.boxes.to(maps[0].dtype))
        matches = ratio_matches(targets.boxes, targets.image_index, self.losses.levels(maps))
        return Losses.of(self.losses(maps, targets, matches))


def raw_rows(maps: Sequence[Tensor], matches: Matches) -> Tensor:
    """Return the numbers (R, N) that maps (B, A, N, h, w) have for matches, which must be in the order of levels."""
    counts = torch.bincount(matches.level, minlength=len(maps)).tolist()
    places = [column.split(counts) for column in (matches.image, matches.anchor, matches.y, matches.x)]
    levels = zip(maps, *places, strict=True)
    return torch.cat([m[image, anchor, :, y, x] for m, image, anchor, y, x in levels])


def as_convolved(raw_map: Tensor) -> Tensor:
    """View a raw map (B, A, h, w, 5 + C) as its convolution gave it, (B, A, 5 + C, h, w).

    Gradients have the order of what is indexed. In the convolution's own they need not be turned, which would take
    longer than all the losses.
    """
    return raw_map.movedim(4, 2)


def _cell_numbers(maps: Sequence[Tensor], matches: Matches) -> Tensor:
    """Return the number (R,) of each match's prediction, those of maps (B, A, 1, h, w) counted level by level."""
    shapes = torch.tensor([m.shape for m in maps], device=matches.level.device)
    ends = shapes.prod(1).cumsum(0)
    _, anchors, _, height, width = shapes[matches.level].unbind(1)
    place = ((matches.image * anchors + matches.anchor) * height + matches.y) * width + matches.x
    return F.pad(ends, (1, 0))[matches.level] + place
