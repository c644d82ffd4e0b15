"""Differentiable IoU measures: those of `model_zoo.contract.boxes`, and SIoU.

Boxes are xyxy unless the name says otherwise. A measure compares boxes row by row, (..., 4) and (..., 4) -> (...); rows
broadcast. The loss is 1 - measure. Values and gradients are finite for all boxes in float32 and float64. The original
programs avoid 0 / 0 by epsilons of 1e-10 to 1e-7. We add none and define 0 / 0 as 0. For boxes with area the results
agree within 1e-6.

Sources: GIoU arXiv:1902.09630; DIoU, CIoU arXiv:1911.08287; SIoU arXiv:2205.12740, in the form used by YOLOv6.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert boxes (..., 4) from center x, center y, width, height to corners."""
    centers, halves = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centers - halves, centers + halves], dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Convert boxes (..., 4) from corners to center x, center y, width, height."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union, 0 if both boxes are empty."""
    return _ratio(*_overlap(a, b))


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalized IoU: IoU - (|C| - U) / |C|, C the smallest enclosing box (1902.09630, algorithm 1)."""
    inter, union = _overlap(a, b)
    hull = _enclosing(a, b).prod(-1)
    return _ratio(inter, union) - _ratio(hull - union, hull)


def diou(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance IoU: IoU - rho^2 / c^2, rho between centers, c the diagonal of C (1911.08287, eq. 7)."""
    return iou(a, b) - _distance(a, b)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Return the complete IoU: DIoU - alpha * v, with no gradient through alpha (1911.08287, eq. 8-11)."""
    aspect = 4 / math.pi**2 * (_aspect_angle(b) - _aspect_angle(a)).square()
    overlap = iou(a, b)
    alpha = _ratio(aspect, 1 - overlap + aspect).detach()
    return overlap - _distance(a, b) - alpha * aspect


def rising_abs(x: Tensor) -> Tensor:
    """Return the absolute value, with slope 1 at 0, where `torch.abs` has slope 0."""
    return torch.where(x < 0, -x, x)


def siou(a: Tensor, b: Tensor, absolute: Callable[[Tensor], Tensor] = rising_abs) -> Tensor:
    """Return the SIoU: IoU - (distance + shape) / 2, with a distance that depends on direction (2205.12740).

    The paper's angle cost is 1 - 2 sin^2(asin(x) - pi/4). There x is the sine of the angle between the line of centers
    and the nearer axis. That equals 2 |dx dy| / (dx^2 + dy^2). `absolute` only matters by its slope at 0, for centers
    aligned with an axis. YOLOv6 has slope 1 since 2.0, and `torch.abs` in 0.1.0.
    """
    shift = _shift(a, b)
    angle = _ratio(2 * absolute(shift).prod(-1), shift.square().sum(-1))[..., None]
    distance = 1 - torch.exp((angle - 2) * _ratio(shift, _enclosing(a, b)).square())
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    shape = (1 - torch.exp(-_ratio((size_a - size_b).abs(), torch.maximum(size_a, size_b)))) ** 4
    return iou(a, b) - (distance + shape).sum(-1) / 2


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU (N, M) of every row of `a` (N, 4) with every row of `b` (M, 4)."""
    a, b = (boxes.T.contiguous().T for boxes in (a, b))  # column-major, which is much faster for many pairs
    return iou(a[:, None], b)


def shape_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU (...) of sizes (..., 2) and (..., 2), as of boxes with the same center. Rows broadcast."""
    inter = torch.minimum(a, b).prod(-1)
    return _ratio(inter, a.prod(-1) + b.prod(-1) - inter)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas of intersection and union."""
    # By coordinate instead of (..., 2) by (..., 2), which takes half the time for many pairs.
    (left, top, right, bottom), (left_b, top_b, right_b, bottom_b) = a.unbind(-1), b.unbind(-1)
    width = (torch.minimum(right, right_b) - torch.maximum(left, left_b)).clamp(min=0)
    height = (torch.minimum(bottom, bottom_b) - torch.maximum(top, top_b)).clamp(min=0)
    inter = width * height
    return inter, (right - left) * (bottom - top) + (right_b - left_b) * (bottom_b - top_b) - inter


def _enclosing(a: Tensor, b: Tensor) -> Tensor:
    """Return width and height (..., 2) of the smallest enclosing box."""
    return torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance of the centers over the squared diagonal of the smallest enclosing box."""
    return _ratio(_shift(a, b).square().sum(-1), _enclosing(a, b).square().sum(-1))


def _shift(a: Tensor, b: Tensor) -> Tensor:
    """Return the vector (..., 2) from the center of `a` to that of `b`, computed to be precise for close boxes."""
    return ((b[..., :2] - a[..., :2]) + (b[..., 2:] - a[..., 2:])) / 2


def _aspect_angle(boxes: Tensor) -> Tensor:
    """Return the angle with tangent width / height, or 0 without gradient for points."""
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    point = width.square() + height.square() <= _zero_limit(boxes)
    return torch.atan2(width.masked_fill(point, 0), height.masked_fill(point, 1))


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Return top / bottom, or 0 without gradient if bottom is not positive."""
    empty = bottom <= _zero_limit(bottom)
    return (top / bottom.masked_fill(empty, 1)).masked_fill(empty, 0)


def _zero_limit(x: Tensor) -> float:
    """Return the number up to which a float counts as 0, because its squared inverse would overflow."""
    return math.sqrt(torch.finfo(x.dtype).tiny)
