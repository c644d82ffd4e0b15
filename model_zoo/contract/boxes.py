"""Box formats and the IoU family, in NumPy.

Boxes are xyxy unless the name says otherwise. `pairwise_*` compares all pairs: (N, 4), (M, 4) -> (N, M). `aligned_*`
compares row by row: (..., 4), (..., 4) -> (...). Results have the dtype of the input (float32 or float64). Degenerate
boxes never give NaN: the IoU of two empty boxes is 0, and so are the penalties of coinciding points.

Sources: GIoU arXiv:1902.09630; DIoU, CIoU arXiv:1911.08287.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def cxcywh_to_xyxy(boxes: Floats) -> Floats:
    """Convert (..., 4) center x, center y, width, height to corners."""
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1)


def xyxy_to_cxcywh(boxes: Floats) -> Floats:
    """Convert (..., 4) corners to center x, center y, width, height."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)


def xyxy_to_xywh(boxes: Floats) -> Floats:
    """Convert (..., 4) corners to left, top, width, height (the COCO format)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([low, high - low], axis=-1)


def clip(boxes: Floats, size: tuple[int, int]) -> Floats:
    """Clip (..., 4) boxes to an image of `size` (height, width)."""
    height, width = size
    return np.clip(boxes, 0, np.asarray([width, height, width, height], dtype=boxes.dtype))


def area(boxes: Floats) -> Floats:
    """Return the area of (..., 4) boxes."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def aligned_iou(a: Floats, b: Floats) -> Floats:
    """Return the intersection over union, 0 where both boxes are empty."""
    inter, union = _overlap(a, b)
    return _ratio(inter, union)


def aligned_giou(a: Floats, b: Floats) -> Floats:
    """Return the generalized IoU: IoU - (|C| - U) / |C|, C the smallest enclosing box (1902.09630, algorithm 1)."""
    inter, union = _overlap(a, b)
    width, height = _enclosing(a, b)
    hull = width * height
    return _ratio(inter, union) - _ratio(hull - union, hull)


def aligned_diou(a: Floats, b: Floats, distance_weight: float = 1.0) -> Floats:
    """Return the distance IoU: IoU - distance_weight * rho^2 / c^2 (1911.08287, eq. 7).

    rho is the distance of the centers, c the diagonal of the smallest enclosing box. This is the measure of DIoU-NMS.
    With `distance_weight` 0 it is the plain IoU.
    """
    iou = aligned_iou(a, b)
    return iou - distance_weight * _center_penalty(a, b) if distance_weight else iou


def aligned_ciou(a: Floats, b: Floats) -> Floats:
    """Return the complete IoU: DIoU - alpha * v (1911.08287, eq. 8-11)."""
    iou = aligned_iou(a, b)
    aspect = 4 / np.pi**2 * (_aspect_angle(b) - _aspect_angle(a)) ** 2
    alpha = _ratio(aspect, (1 - iou) + aspect)
    return iou - _center_penalty(a, b) - alpha * aspect


def pairwise_iou(a: Floats, b: Floats) -> Floats:
    """Return the IoU (N, M) of every row of `a` (N, 4) with every row of `b` (M, 4)."""
    return aligned_iou(a[:, None], b[None])


def pairwise_giou(a: Floats, b: Floats) -> Floats:
    """Return the GIoU (N, M) of every row of `a` with every row of `b`."""
    return aligned_giou(a[:, None], b[None])


def pairwise_diou(a: Floats, b: Floats, distance_weight: float = 1.0) -> Floats:
    """Return the DIoU (N, M) of every row of `a` with every row of `b`."""
    return aligned_diou(a[:, None], b[None], distance_weight)


def pairwise_ciou(a: Floats, b: Floats) -> Floats:
    """Return the CIoU (N, M) of every row of `a` with every row of `b`."""
    return aligned_ciou(a[:, None], b[None])


def _overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the areas of intersection and union."""
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    return inter, area(a) + area(b) - inter


def _enclosing(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return width and height of the smallest enclosing box."""
    width = np.maximum(a[..., 2], b[..., 2]) - np.minimum(a[..., 0], b[..., 0])
    height = np.maximum(a[..., 3], b[..., 3]) - np.minimum(a[..., 1], b[..., 1])
    return width, height


def _center_penalty(a: Floats, b: Floats) -> Floats:
    """Return rho^2 / c^2, 0 where the enclosing box is a point."""
    width, height = _enclosing(a, b)
    shift_x = ((a[..., 0] - b[..., 0]) + (a[..., 2] - b[..., 2])) / 2  # this order keeps most precision for close boxes
    shift_y = ((a[..., 1] - b[..., 1]) + (a[..., 3] - b[..., 3])) / 2
    return _ratio(shift_x**2 + shift_y**2, width**2 + height**2)


def _aspect_angle(boxes: Floats) -> Floats:
    """Return the angle whose tangent is width / height, defined also for flat boxes."""
    return np.arctan2(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Return top / bottom, 0 where bottom is not positive."""
    return np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)
