"""Exact greedy non-maximum suppression, class-aware, by IoU or DIoU.

This is the definition that the exported graphs agree with, index by index. Candidates are taken in order of score,
descending, equal scores in order of index. A candidate is suppressed when an earlier kept one of its class has

    IoU - distance_weight * rho^2 / c^2  >  iou_threshold        (strictly; 1911.08287, eq. 12 with weight 1)

There is no limit on time and none on the number of candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, pairwise_diou

_BLOCK = 64  # candidates settled at once: enough to spare NumPy calls, few enough to compare little in vain


def nms(
    boxes: Floats,
    scores: Floats,
    class_ids: NDArray[np.integer],
    iou_threshold: float,
    distance_weight: float = 1.0,
    limit: int | None = None,
) -> NDArray[np.int64]:
    """Return the indices of the kept candidates, best score first.

    boxes (N, 4) xyxy, scores (N,), class_ids (N,). `distance_weight` 1 is DIoU-NMS, 0 is plain IoU-NMS. `limit` is the
    most that are wanted.
    """
    order = np.argsort(-scores, kind="stable")
    survives = np.zeros(len(order), dtype=bool)
    for class_id in np.unique(class_ids):
        candidates = order[class_ids[order] == class_id]
        survives[_greedy(boxes, candidates, float(iou_threshold), float(distance_weight), limit or len(order))] = True
    return order[survives[order]][:limit]


def _greedy(
    boxes: Floats, order: NDArray[np.int64], threshold: float, distance_weight: float, limit: int
) -> NDArray[np.int64]:
    """Greedy pass over one class, a block of candidates at a time; `order` lists them, best first.

    It ends once `limit` are kept: what comes later has lower scores.
    """
    kept = order[:0]
    while order.size and len(kept) < limit:
        block, order = order[:_BLOCK], order[_BLOCK:]
        block = block[~(pairwise_diou(boxes[kept], boxes[block], distance_weight) > threshold).any(axis=0)]
        suppresses = pairwise_diou(boxes[block], boxes[block], distance_weight) > threshold
        kept = np.concatenate([kept, block[_survivors(np.triu(suppresses, k=1))]])
    return kept


def _survivors(suppresses: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Greedy pass as a fixed point: one survives unless an earlier survivor suppresses it (upper triangular).

    A row depends on earlier rows only, so every round settles at least one more row, from the front.
    """
    survives = np.ones(len(suppresses), dtype=bool)
    while True:
        settled: NDArray[np.bool_] = np.logical_not(suppresses[survives].any(axis=0))
        if np.array_equal(settled, survives):
            return survives
        survives = settled
