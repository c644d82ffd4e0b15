"""Exact greedy non-maximum suppression, class-aware, by IoU or DIoU.

This is the reference that exported graphs match index by index. Candidates are processed by descending score, equal
scores by ascending index. A candidate is suppressed if a better, kept one of its class has

    IoU - distance_weight * rho^2 / c^2  >  iou_threshold        (strictly; 1911.08287, eq. 12 with weight 1)

Neither time nor the number of candidates is limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, pairwise_diou

OverlapMeasure = Literal["diou", "iou"]
DISTANCE_WEIGHTS: Final[Mapping[str, float]] = {"diou": 1.0, "iou": 0.0}  # by the name of the measure in requests
_BLOCK = 64  # candidates per pass: large blocks save NumPy calls, small ones save comparisons


def nms(
    boxes: Floats,
    scores: Floats,
    class_ids: NDArray[np.integer],
    iou_threshold: float,
    distance_weight: float = 1.0,
    limit: int | None = None,
) -> NDArray[np.int64]:
    """Return the indices of the kept candidates, best score first.

    Args:
        boxes: Boxes (N, 4), xyxy.
        scores: Scores (N,).
        class_ids: Class indices (N,).
        iou_threshold: Measure above which a box is suppressed.
        distance_weight: 1 for DIoU-NMS, 0 for plain IoU-NMS.
        limit: Max number of kept candidates.
    """
    order = np.argsort(-scores, kind="stable")
    # With a limit, one pass over all classes ends early. Without one, classes apart need fewer comparisons.
    passes = [order] if limit else [order[class_ids[order] == class_id] for class_id in np.unique(class_ids)]
    survives = np.zeros(len(order), dtype=bool)
    for candidates in passes:
        kept = _greedy(boxes, class_ids, candidates, float(iou_threshold), float(distance_weight), limit or len(order))
        survives[kept] = True
    return order[survives[order]][:limit]


def _greedy(
    boxes: Floats,
    class_ids: NDArray[np.integer],
    order: NDArray[np.int64],
    threshold: float,
    distance_weight: float,
    limit: int,
) -> NDArray[np.int64]:
    """Return the kept candidates from `order`, which lists them best first.

    Blocks are processed until `limit` candidates are kept: later ones have lower scores.
    """

    def suppresses(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        same_class: NDArray[np.bool_] = class_ids[a][:, None] == class_ids[b]
        return same_class & (pairwise_diou(boxes[a], boxes[b], distance_weight) > threshold)

    kept = order[:0]
    while order.size and len(kept) < limit:
        block, order = order[:_BLOCK], order[_BLOCK:]
        block = block[~suppresses(kept, block).any(axis=0)]
        kept = np.concatenate([kept, block[_survivors(np.triu(suppresses(block, block), k=1))]])
    return kept


def _survivors(suppresses: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Compute the greedy pass as a fixed point: a candidate survives unless an earlier survivor suppresses it.

    The matrix is upper triangular: a row depends only on earlier rows, so each round settles at least one more row.
    """
    survives = np.ones(len(suppresses), dtype=bool)
    while True:
        settled: NDArray[np.bool_] = np.logical_not(suppresses[survives].any(axis=0))
        if np.array_equal(settled, survives):
            return survives
        survives = settled
