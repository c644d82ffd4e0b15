"""The IoU family for boxes that learn: the measures of `model_zoo.contract.boxes` with gradients, and SIoU.

Boxes are xyxy unless the name says otherwise. A measure compares row with row, (..., 4) and (..., 4) -> (...), rows
broadcast, and a loss is 1 - measure. Values and gradients of every box are finite in float32 and float64. The programs
add an epsilon of 1e-10 to 1e-7 here or there against 0 / 0; we add none and define the case: the quotient of nothing by
nothing is 0. For boxes of some size that is the same within 1e-6.

Sources: GIoU arXiv:1902.09630; DIoU, CIoU arXiv:1911.08287; SIoU arXiv:2205.12740, in the form that YOLOv6 trains with.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert (..., 4) center x, center y, width, height to corners."""
    centers, halves = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centers - halves, centers + halves], dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Convert (..., 4) corners to center x, center y, width, height."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, 0 where both boxes are empty."""
    return _ratio(*_overlap(a, b))


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalized IoU: IoU - (|C| - U) / |C|, C the smallest enclosing box (1902.09630, algorithm 1)."""
    inter, union = _overlap(a, b)
    hull = _enclosing(a, b).prod(-1)
    return _ratio(inter, union) - _ratio(hull - union, hull)


def diou(a: Tensor, b: Tensor) -> Tensor:
    """Distance IoU: IoU - rho^2 / c^2, rho the distance of centers, c the diagonal of C (1911.08287, eq. 7)."""
    return iou(a, b) - _distance(a, b)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU: DIoU - alpha * v, alpha a constant to the gradient (1911.08287, eq. 8-11)."""
    aspect = 4 / math.pi**2 * (_aspect_angle(b) - _aspect_angle(a)).square()
    overlap = iou(a, b)
    alpha = _ratio(aspect, 1 - overlap + aspect).detach()
    return overlap - _distance(a, b) - alpha * aspect


def rising_abs(x: Tensor) -> Tensor:
    """Absolute value, with the slope 1 at 0 where `torch.abs` has 0."""
    return torch.where(x < 0, -x, x)


def siou(a: Tensor, b: Tensor, absolute: Callable[[Tensor], Tensor] = rising_abs) -> Tensor:
    """IoU - (distance + shape) / 2, the distance cheaper along an axis than askew (2205.12740).

    The paper's angle cost 1 - 2 sin^2(asin(x) - pi/4), x the sine of the angle between the line of centers and its
    nearer axis, is 2 |dx dy| / (dx^2 + dy^2). absolute: differs by its slope at 0, where centers are level with one
    another; YOLOv6 has 1 since 2.0, and `torch.abs` in 0.1.0.
    """
    shift = _shift(a, b)
    askew = _ratio(2 * absolute(shift).prod(-1), shift.square().sum(-1))[..., None]
    distance = 1 - torch.exp((askew - 2) * _ratio(shift, _enclosing(a, b)).square())
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    shape = (1 - torch.exp(-_ratio((size_a - size_b).abs(), torch.maximum(size_a, size_b)))) ** 4
    return iou(a, b) - (distance + shape).sum(-1) / 2


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every row of `a` (N, 4) with every row of `b` (M, 4): (N, M)."""
    a, b = (boxes.T.contiguous().T for boxes in (a, b))  # column by column: of many pairs that is much faster
    return iou(a[:, None], b)


def shape_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of sizes, (..., 2) and (..., 2) -> (...), as of boxes with one center; rows broadcast."""
    inter = torch.minimum(a, b).prod(-1)
    return _ratio(inter, a.prod(-1) + b.prod(-1) - inter)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of intersection and union."""
    # Side by side, not (..., 2) by (..., 2): of many pairs that takes half the time.
    (left, top, right, bottom), (left_b, top_b, right_b, bottom_b) = a.unbind(-1), b.unbind(-1)
    width = (torch.minimum(right, right_b) - torch.maximum(left, left_b)).clamp(min=0)
    height = (torch.minimum(bottom, bottom_b) - torch.maximum(top, top_b)).clamp(min=0)
    inter = width * height
    return inter, (right - left) * (bottom - top) + (right_b - left_b) * (bottom_b - top_b) - inter


def _enclosing(a: Tensor, b: Tensor) -> Tensor:
    """Width and height (..., 2) of the smallest enclosing box."""
    return torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of the centers over the squared diagonal of the smallest enclosing box."""
    return _ratio(_shift(a, b).square().sum(-1), _enclosing(a, b).square().sum(-1))


def _shift(a: Tensor, b: Tensor) -> Tensor:
    """Way (..., 2) from the center of `a` to that of `b`, in the order that loses least where boxes are close."""
    return ((b[..., :2] - a[..., :2]) + (b[..., 2:] - a[..., 2:])) / 2


def _aspect_angle(boxes: Tensor) -> Tensor:
    """Angle whose tangent is width / height; that of a point is 0, without gradient."""
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    point = width.square() + height.square() <= _least(boxes)
    return torch.atan2(width.masked_fill(point, 0), height.masked_fill(point, 1))


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Quotient top / bottom, 0 without gradient where bottom is not positive."""
    empty = bottom <= _least(bottom)
    return (top / bottom.masked_fill(empty, 1)).masked_fill(empty, 0)


def _least(x: Tensor) -> float:
    """Below this a number counts as 0: its inverse squared would pass the largest float."""
    return math.sqrt(torch.finfo(x.dtype).tiny)
