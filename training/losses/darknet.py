"""Losses and decoding that the criteria of Darknet's anchor heads (YOLOv2, v3, v4) share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from training.assign.anchor_slots import AnchorPredictions
from training.assign.base import AnchorLevels, RowAssignment
from training.boxes import xyxy_to_cxcywh

Error = Callable[[Tensor, Tensor], Tensor]  # called with logits and the goals of their sigmoids; element by element
MIN_RATIO = 1e-6  # of an object's side to the anchor's, as 0 has no logarithm


class Reader:
    """Decodes raw maps by a detector's head. It is not a module, so that the criterion does not own the head."""

    def __init__(self, detector: Detector) -> None:
        assert isinstance(detector.head, AnchorHead)
        self.head = detector.head

    def __call__(self, maps: Sequence[Tensor]) -> AnchorPredictions:
        """Decode raw maps (B, A, h, w, 5 + C)."""
        # Split in the layout of the convolution: its gradient is then assembled once, without a transposition.
        split = [m.movedim(4, 2).split([5, self.head.num_classes], dim=2) for m in maps]
        raw_maps, class_maps = zip(*split, strict=True)
        raw, priors = self.head.rows([m.movedim(2, 4) for m in raw_maps]), self.head.priors(maps).to(maps[0])
        boxes = self.head.locate(raw[..., :4].detach(), priors)
        levels = AnchorLevels.of(maps, self.head.anchors, self.head.strides)
        return AnchorPredictions(raw, priors, boxes, levels, class_maps)


def area_fractions(boxes: Tensor, levels: AnchorLevels) -> Tensor:
    """Return the fraction (T,) of the canvas that each box (T, 4) covers."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1) / (levels.sizes[0] * levels.strides[0]).prod()


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Return the goals (P, 4) of boxes (P, 4) at `priors`: x, y relative to the cell, ln of w, h over the anchor's."""
    truth = xyxy_to_cxcywh(boxes)
    centers = (truth[:, :2] / priors[:, 2:3] - priors[:, :2]).clamp(0, 1)
    return torch.cat([centers, (truth[:, 2:] / priors[:, 3:5]).clamp(min=MIN_RATIO).log()], dim=1)


def box_errors(raw: Tensor, goals: Tensor, error: Error) -> Tensor:
    """Return `error` of x and y plus half the squared error of w and h, (P,), of raw numbers and encoded goals."""
    sizes = (raw[:, 2:4] - goals[:, 2:]).square() / 2
    return (error(raw[:, :2], goals[:, :2]) + sizes).sum(1)


def cross_entropy(raw: Tensor, goals: Tensor) -> Tensor:
    """Return the binary cross-entropy of logits, element by element. Its gradient is sigmoid minus goal."""
    return F.binary_cross_entropy_with_logits(raw, goals, reduction="none")


def squared_error(raw: Tensor, goals: Tensor) -> Tensor:
    """Return half the squared error of the sigmoid of logits, element by element."""
    return (raw.sigmoid() - goals).square() / 2


def negative_mask(assigned: RowAssignment) -> Tensor:
    """Return a mask (B, N) of the predictions that learn that there is no object."""
    negative = ~assigned.ignored
    negative[assigned.image, assigned.row] = False
    return negative
