"""Anchors that suit a dataset: k-means and evolution as in YOLOv5's AutoAnchor, or YOLOv2's clusters by IoU.

Where we differ from AutoAnchor: k-means runs on the logarithms of the sides, not on the sides over their spread, since
what is wanted is a small ratio. Evolution then ends higher, whatever the seed.

Boxes and anchors are (width, height) in pixels of the canvas here. A box fits an anchor when no side is `limit` times
larger or smaller, which is the rule by which YOLOv5 and v7 assign.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.vq import kmeans

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from training.data.dataset import Record

Floats = NDArray[np.float64]

LIMIT = 4.0
ENOUGH_RECALL = 0.98
MIN_SIDE = 2.0  # pixels; boxes with no longer side teach nothing, and no anchor has a shorter one
MAX_BOXES = 50_000  # a larger dataset is sampled: its anchors are the same, in less time
DRAWN = 10_000  # boxes, where every class is to count alike
CLUSTERINGS = 30
MAX_ROUNDS = 300  # of one clustering by IoU, which need not come to rest


def box_sizes(records: Iterable[Record], side: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return width and height (N, 2) of all objects that are learned, and their classes (N,).

    Images are resized to `side` on their longer side.
    """
    sizes, class_ids = [np.empty((0, 2))], [np.empty(0, np.int64)]
    for record in records:
        boxes = record.boxes[~record.crowd].astype(np.float64)
        sizes.append((boxes[:, 2:] - boxes[:, :2]) * (side / max(record.size)))
        class_ids.append(record.class_ids[~record.crowd])
    return np.concatenate(sizes), np.concatenate(class_ids)


def alike(boxes_wh: Floats, class_ids: NDArray[np.int64], *, seed: int = 0) -> Floats:
    """Draw as many boxes of one class as of any other, so that rare ones have anchors too."""
    rng = np.random.default_rng(seed)
    classes = np.unique(class_ids)
    drawn = [rng.choice(np.flatnonzero(class_ids == c), DRAWN // len(classes)) for c in classes]
    return boxes_wh[np.concatenate(drawn)] if drawn else boxes_wh


def best_possible_recall(anchors: ArrayLike, boxes_wh: ArrayLike, limit: float = LIMIT) -> float:
    """Return the share of boxes (N, 2) that fit one of the anchors (..., 2) at least; 1 where there are no boxes."""
    fits = _likeness(anchors, boxes_wh).max(1) > 1 / limit
    return float(fits.mean()) if len(fits) else 1.0


def fitness(anchors: ArrayLike, boxes_wh: ArrayLike, limit: float = LIMIT) -> float:
    """Return the mean likeness of boxes (N, 2), at least one, and their best anchors (..., 2); no fit counts 0.

    The likeness of two sizes is the smaller over the larger side, of the sides that differ most.
    """
    best = _likeness(anchors, boxes_wh).max(1)
    return float((best * (best > 1 / limit)).mean())


def mean_iou(anchors: ArrayLike, boxes_wh: ArrayLike) -> float:
    """Return the mean IoU of boxes (N, 2), at least one, and their best anchors (..., 2), as if they had one center."""
    return float(_shape_iou(_flat(boxes_wh), _flat(anchors)).max(1).mean())


def fit_anchors(
    boxes_wh: ArrayLike, levels: int, per_level: int, *, seed: int = 0, limit: float = LIMIT, generations: int = 1000
) -> Floats:
    """Return anchors (levels, per_level, 2) by rising area: k-means, then `generations` of mutations that do good.

    LineageError where boxes (N, 2) has none to learn from.
    """
    rng = np.random.default_rng(seed)
    boxes = _learnable(boxes_wh, rng)
    best = np.maximum(_clusters(boxes, levels * per_level, rng), MIN_SIDE)
    best_fitness = fitness(best, boxes, limit)
    for _ in range(generations):
        step = 1 + 0.1 * rng.random() * rng.standard_normal(best.shape)
        step = np.where(rng.random(best.shape) < 0.9, step.clip(0.3, 3), 1)
        child = np.maximum(best * step, MIN_SIDE)
        child_fitness = fitness(child, boxes, limit)
        if child_fitness > best_fitness:
            best, best_fitness = child, child_fitness
    return _by_area(best, levels)


def cluster_iou(
    boxes_wh: ArrayLike, levels: int, per_level: int, *, seed: int = 0, clusterings: int = CLUSTERINGS
) -> Floats:
    """Return anchors (levels, per_level, 2) by rising area: k-means by 1 - IoU (YOLO9000, arXiv:1612.08242, section 2).

    The best of several clusterings, by mean IoU. The paper does not say what a cluster's center is; medians overlap
    their boxes more than means do. LineageError where boxes (N, 2) has none to learn from.
    """
    rng = np.random.default_rng(seed)
    boxes = _learnable(boxes_wh, rng)
    runs = [_iou_medians(boxes, levels * per_level, rng) for _ in range(clusterings)]
    best = max(runs, key=lambda centers: mean_iou(centers, boxes))
    return _by_area(best, levels)


def fit_if_poor(detector: Detector, boxes_wh: ArrayLike, *, seed: int = 0) -> bool:
    """Fit the detector's anchors to boxes (N, 2) where they are a poor fit, and tell whether they were changed.

    Poor is a best possible recall of at most 0.98, and a fit that does not raise it is dropped. The original varies
    the boxes by 10 % before it decides; we do not, so that the decision depends on the dataset alone.
    """
    head = _anchor_head(detector)
    before = best_possible_recall(head.anchors.cpu().numpy(), boxes_wh)
    if before > ENOUGH_RECALL:
        return False
    levels, per_level, _ = head.anchors.shape
    fitted = fit_anchors(boxes_wh, levels, per_level, seed=seed)
    if best_possible_recall(fitted, boxes_wh) <= before:
        return False
    set_anchors(detector, fitted)
    return True


def set_anchors(detector: Detector, anchors: ArrayLike) -> None:
    """Give a detector anchors (levels, per level, 2) in pixels, the smallest level to the finest stride.

    They travel with its weights. A criterion has the anchors that its detector had when it was made. LineageError
    where the detector has no anchors, or others in number.
    """
    head = _anchor_head(detector)
    new = torch.as_tensor(np.asarray(anchors, dtype=np.float32))
    if new.shape != head.anchors.shape or not bool((new > 0).all()):
        expected = f"positive anchors of shape {tuple(head.anchors.shape)}"
        raise LineageError(f"{detector.variant}: expected {expected}; got {new.tolist()}")
    head.anchors.copy_(new[new.prod(-1).mean(1).argsort()])


def _anchor_head(detector: Detector) -> AnchorHead:
    if not isinstance(detector.head, AnchorHead):
        raise LineageError(f"{detector.variant}: expected a detector with anchors (YOLOv2 to v5, v7); it has none")
    return detector.head


def _flat(sizes: ArrayLike) -> Floats:
    return np.asarray(sizes, dtype=np.float64).reshape(-1, 2)


def _likeness(anchors: ArrayLike, boxes_wh: ArrayLike) -> Floats:
    """Likeness (N, A) of every box with every anchor."""
    boxes, sizes = _flat(boxes_wh)[:, None], _flat(anchors)
    likeness: Floats = (np.minimum(boxes, sizes) / np.maximum(boxes, sizes)).min(2)
    return likeness


def _shape_iou(a: Floats, b: Floats) -> Floats:
    """IoU (N, M) of sizes (N, 2) and (M, 2), as of boxes with one center."""
    inter: Floats = np.minimum(a[:, None], b).prod(2)
    union: Floats = a.prod(1)[:, None] + b.prod(1) - inter
    return inter / union


def _learnable(boxes_wh: ArrayLike, rng: np.random.Generator) -> Floats:
    boxes = _flat(boxes_wh)
    boxes = boxes[(boxes >= MIN_SIDE).any(1) & (boxes > 0).all(1)]
    if len(boxes) == 0:
        raise LineageError(f"expected boxes of {MIN_SIDE:g} pixels and more to fit anchors to; got none")
    return rng.choice(boxes, MAX_BOXES, replace=False) if len(boxes) > MAX_BOXES else boxes


def _clusters(boxes: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` centers of k-means over the logarithms of the sides, in which likeness is a distance."""
    distinct = np.unique(boxes, axis=0)
    if len(distinct) <= count:
        return np.resize(distinct, (count, 2))
    centers: Floats = np.exp(kmeans(np.log(boxes), count, iter=CLUSTERINGS, rng=rng)[0])
    missing = count - len(centers)  # k-means drops a center that no box is nearest to
    return np.concatenate([centers, rng.choice(boxes, missing)])


def _iou_medians(boxes: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` centers (count, 2), each the median of the boxes that it overlaps most."""
    centers: Floats = np.resize(rng.permutation(np.unique(boxes, axis=0)), (count, 2))
    for _ in range(MAX_ROUNDS):
        nearest = _shape_iou(boxes, centers).argmax(1)
        before, centers = centers, centers.copy()
        for i in np.unique(nearest):
            centers[i] = np.median(boxes[nearest == i], axis=0)
        if np.array_equal(centers, before):
            break
    return centers


def _by_area(sizes: Floats, levels: int) -> Floats:
    """Share anchors out to levels (levels, per_level, 2), by rising area."""
    return sizes[np.argsort(np.prod(sizes, axis=1))].reshape(levels, -1, 2)
