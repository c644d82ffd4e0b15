"""What the criteria of Darknet's anchor heads (YOLOv2, v3, v4) share: rows of predictions, errors of their boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from training.assign.anchor_ratio import Levels
from training.assign.anchor_slots import Predictions, SlotAssignment
from training.boxes import xyxy_to_cxcywh

Error = Callable[[Tensor, Tensor], Tensor]  # of logits and what their sigmoids should be, element by element
MIN_RATIO = 1e-6  # of an object's side to an anchor's; an object of no width has no logarithm


class Reader:
    """Reads raw maps as a detector's head does; not a module, so that a criterion does not own the head."""

    def __init__(self, detector: Detector) -> None:
        assert isinstance(detector.head, AnchorHead)
        self.head = detector.head

    def __call__(self, maps: Sequence[Tensor]) -> Predictions:
        """Read raw maps (B, A, h, w, 5 + C)."""
        # Split as the convolution gave them: gradients are then put together in one go, and in its order.
        split = [m.movedim(4, 2).split([5, self.head.num_classes], dim=2) for m in maps]
        raw_maps, class_maps = zip(*split, strict=True)
        raw, priors = self.head.rows([m.movedim(2, 4) for m in raw_maps]), self.head.priors(maps).to(maps[0])
        boxes = self.head.locate(raw[..., :4].detach(), priors)
        return Predictions(raw, priors, boxes, Levels.of(maps, self.head.anchors, self.head.strides), class_maps)


def shares(boxes: Tensor, levels: Levels) -> Tensor:
    """Return the share of the canvas (T,) that boxes (T, 4) cover."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1) / (levels.sizes[0] * levels.strides[0]).prod()


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Return boxes (P, 4) as predictions with `priors` should give them: x, y in shares of the cell, ln of w, h."""
    truth = xyxy_to_cxcywh(boxes)
    place = (truth[:, :2] / priors[:, 2:3] - priors[:, :2]).clamp(0, 1)
    return torch.cat([place, (truth[:, 2:] / priors[:, 3:5]).clamp(min=MIN_RATIO).log()], dim=1)


def box_errors(raw: Tensor, wanted: Tensor, error: Error) -> Tensor:
    """Return (P,): `error` of x and y plus half the squared error of w and h, all four raw and as by `encode`."""
    sizes = (raw[:, 2:4] - wanted[:, 2:]).square() / 2
    return (error(raw[:, :2], wanted[:, :2]) + sizes).sum(1)


def cross_entropy(raw: Tensor, wanted: Tensor) -> Tensor:
    """Return the binary cross-entropy of logits, element by element; its gradient is the plain difference."""
    return F.binary_cross_entropy_with_logits(raw, wanted, reduction="none")


def squared_error(raw: Tensor, wanted: Tensor) -> Tensor:
    """Return half the squared error of the sigmoid of logits, element by element."""
    return (raw.sigmoid() - wanted).square() / 2


def negatives(assigned: SlotAssignment) -> Tensor:
    """Return which predictions (B, N) learn that there is no object."""
    negative = ~assigned.ignored
    negative[assigned.image, assigned.row] = False
    return negative
