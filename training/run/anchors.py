"""Fit anchors to a dataset: k-means and evolution as in YOLOv5's AutoAnchor, or YOLOv2's clustering by IoU.

One difference from AutoAnchor: k-means runs on the logarithms of the sides instead of the sides over their standard
deviation, because the assigner compares ratios. Evolution then reaches a higher fitness with any seed.

Boxes and anchors are (width, height) in pixels of the canvas. A box matches an anchor if each side is less than
`max_ratio` times the anchor's and vice versa, as YOLOv5 and v7 assign.
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

MAX_RATIO = 4.0
GOOD_RECALL = 0.98
MIN_SIDE = 2.0  # pixels; boxes with both sides shorter are ignored, and no anchor has a shorter side
MAX_BOXES = 50_000  # larger datasets are sampled, which gives the same anchors in less time
BALANCED_BOXES = 10_000  # drawn in total when classes are balanced
KMEANS_RUNS = 30
MAX_ITERATIONS = 300  # of one clustering by IoU, which may not converge


def box_sizes(records: Iterable[Record], side: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return width and height (N, 2) and class (N,) of all objects except crowds.

    Args:
        records: Images with their objects.
        side: Length to which the longer side of an image is resized, in pixels.
    """
    sizes, class_ids = [np.empty((0, 2))], [np.empty(0, np.int64)]
    for record in records:
        boxes = record.boxes[~record.crowd].astype(np.float64)
        sizes.append((boxes[:, 2:] - boxes[:, :2]) * (side / max(record.size)))
        class_ids.append(record.class_ids[~record.crowd])
    return np.concatenate(sizes), np.concatenate(class_ids)


def balance_classes(boxes_wh: Floats, class_ids: NDArray[np.int64], *, seed: int = 0) -> Floats:
    """Return a random sample with equally many boxes of every class, so that rare classes get anchors as well."""
    rng = np.random.default_rng(seed)
    classes = np.unique(class_ids)
    drawn = [rng.choice(np.flatnonzero(class_ids == c), BALANCED_BOXES // len(classes)) for c in classes]
    return boxes_wh[np.concatenate(drawn)] if drawn else boxes_wh


def best_possible_recall(anchors: ArrayLike, boxes_wh: ArrayLike, max_ratio: float = MAX_RATIO) -> float:
    """Return the fraction of boxes (N, 2) that match at least one of the anchors (..., 2), or 1 without boxes."""
    matches = _similarity(anchors, boxes_wh).max(1) > 1 / max_ratio
    return float(matches.mean()) if len(matches) else 1.0


def fitness(anchors: ArrayLike, boxes_wh: ArrayLike, max_ratio: float = MAX_RATIO) -> float:
    """Return the mean similarity of boxes (N, 2) to their best anchors (..., 2), with 0 for boxes without a match.

    Similarity is the smaller ratio of shorter to longer side, over widths and heights.
    """
    best = _similarity(anchors, boxes_wh).max(1)
    return float((best * (best > 1 / max_ratio)).mean())


def mean_iou(anchors: ArrayLike, boxes_wh: ArrayLike) -> float:
    """Return the mean IoU of boxes (N, 2) and their best anchors (..., 2), both centered at one point."""
    return float(_shape_iou(_as_rows(boxes_wh), _as_rows(anchors)).max(1).mean())


def fit_anchors(
    boxes_wh: ArrayLike,
    levels: int,
    per_level: int,
    *,
    seed: int = 0,
    max_ratio: float = MAX_RATIO,
    generations: int = 1000,
) -> Floats:
    """Return anchors (levels, per_level, 2) by ascending area, from k-means and `generations` of random mutations.

    Raises:
        LineageError: There are no boxes to fit anchors to.
    """
    rng = np.random.default_rng(seed)
    boxes = _sample_boxes(boxes_wh, rng)
    best = np.maximum(_kmeans(boxes, levels * per_level, rng), MIN_SIDE)
    best_fitness = fitness(best, boxes, max_ratio)
    for _ in range(generations):
        step = 1 + 0.1 * rng.random() * rng.standard_normal(best.shape)
        step = np.where(rng.random(best.shape) < 0.9, step.clip(0.3, 3), 1)
        child = np.maximum(best * step, MIN_SIDE)
        child_fitness = fitness(child, boxes, max_ratio)
        if child_fitness > best_fitness:
            best, best_fitness = child, child_fitness
    return _by_area(best, levels)


def cluster_iou(boxes_wh: ArrayLike, levels: int, per_level: int, *, seed: int = 0, runs: int = KMEANS_RUNS) -> Floats:
    """Return anchors (levels, per_level, 2) by ascending area, from k-means by 1 - IoU.

    YOLO9000, arXiv:1612.08242, section 2. The run of k-means with the best mean IoU is returned. The paper does not
    define a cluster's center: medians overlap their boxes more than means do.

    Raises:
        LineageError: There are no boxes to fit anchors to.
    """
    rng = np.random.default_rng(seed)
    boxes = _sample_boxes(boxes_wh, rng)
    results = [_iou_medians(boxes, levels * per_level, rng) for _ in range(runs)]
    best = max(results, key=lambda centers: mean_iou(centers, boxes))
    return _by_area(best, levels)


def fit_if_poor(detector: Detector, boxes_wh: ArrayLike, *, seed: int = 0) -> bool:
    """Fit the detector's anchors to boxes (N, 2) if their best possible recall is at most 0.98.

    Anchors that do not improve the recall are discarded. AutoAnchor scales the boxes by a random 10 % first; here the
    decision depends on the dataset only. Returns True if the anchors were changed.
    """
    head = _anchor_head(detector)
    before = best_possible_recall(head.anchors.cpu().numpy(), boxes_wh)
    if before > GOOD_RECALL:
        return False
    levels, per_level, _ = head.anchors.shape
    fitted = fit_anchors(boxes_wh, levels, per_level, seed=seed)
    if best_possible_recall(fitted, boxes_wh) <= before:
        return False
    set_anchors(detector, fitted)
    return True


def set_anchors(detector: Detector, anchors: ArrayLike) -> None:
    """Set the anchors (levels, per level, 2) of a detector in pixels, the smallest at the finest stride.

    Anchors are saved with the weights. A criterion copies them when it is built, so set them before.

    Raises:
        LineageError: The detector has no anchors, or another number of them.
    """
    head = _anchor_head(detector)
    new = torch.as_tensor(np.asarray(anchors, dtype=np.float32))
    if new.shape != head.anchors.shape or not bool((new > 0).all()):
        expected = f"positive anchors of shape {tuple(head.anchors.shape)}"
        raise LineageError(f"{detector.variant}: expected {expected}; got {new.tolist()}")
    head.anchors.copy_(new[new.prod(-1).mean(1).argsort()])


def _anchor_head(detector: Detector) -> AnchorHead:
    if not isinstance(detector.head, AnchorHead):
        raise LineageError(
            f"{detector.variant}: expected a detector with anchors (YOLOv2 to v5, v7); this one has none"
        )
    return detector.head


def _as_rows(sizes: ArrayLike) -> Floats:
    return np.asarray(sizes, dtype=np.float64).reshape(-1, 2)


def _similarity(anchors: ArrayLike, boxes_wh: ArrayLike) -> Floats:
    """Return the similarity (N, A) of every box with every anchor."""
    boxes, sizes = _as_rows(boxes_wh)[:, None], _as_rows(anchors)
    similarity: Floats = (np.minimum(boxes, sizes) / np.maximum(boxes, sizes)).min(2)
    return similarity


def _shape_iou(a: Floats, b: Floats) -> Floats:
    """Return the IoU (N, M) of sizes (N, 2) and (M, 2), all centered at one point."""
    inter: Floats = np.minimum(a[:, None], b).prod(2)
    union: Floats = a.prod(1)[:, None] + b.prod(1) - inter
    return inter / union


def usable_boxes(boxes_wh: ArrayLike) -> Floats:
    """Return the boxes (N, 2) that anchors can be fitted to."""
    boxes = _as_rows(boxes_wh)
    return boxes[(boxes >= MIN_SIDE).any(1) & (boxes > 0).all(1)]


def _sample_boxes(boxes_wh: ArrayLike, rng: np.random.Generator) -> Floats:
    boxes = usable_boxes(boxes_wh)
    if len(boxes) == 0:
        raise LineageError(f"expected boxes with a side of at least {MIN_SIDE:g} pixels to fit anchors to; got none")
    return rng.choice(boxes, MAX_BOXES, replace=False) if len(boxes) > MAX_BOXES else boxes


def _kmeans(boxes: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` centers of k-means over the logarithms of the sides, whose differences are ratios."""
    distinct = np.unique(boxes, axis=0)
    if len(distinct) <= count:
        return np.resize(distinct, (count, 2))
    centers: Floats = np.exp(kmeans(np.log(boxes), count, iter=KMEANS_RUNS, rng=rng)[0])
    missing = count - len(centers)  # k-means drops empty clusters
    return np.concatenate([centers, rng.choice(boxes, missing)])


def _iou_medians(boxes: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` centers (count, 2), each the median of the boxes it overlaps most."""
    centers: Floats = np.resize(rng.permutation(np.unique(boxes, axis=0)), (count, 2))
    for _ in range(MAX_ITERATIONS):
        nearest = _shape_iou(boxes, centers).argmax(1)
        before, centers = centers, centers.copy()
        for i in np.unique(nearest):
            centers[i] = np.median(boxes[nearest == i], axis=0)
        if np.array_equal(centers, before):
            break
    return centers


def _by_area(sizes: Floats, levels: int) -> Floats:
    """Return anchors as (levels, per_level, 2) by ascending area."""
    return sizes[np.argsort(np.prod(sizes, axis=1))].reshape(levels, -1, 2)
