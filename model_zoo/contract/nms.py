"""Exact greedy non-maximum suppression, class-aware, by IoU or DIoU.

This is the definition that the exported graphs agree with, index by index. Candidates are taken in order of score,
descending, equal scores in order of index. A candidate is suppressed when an earlier kept one of its class has

    IoU - distance_weight * rho^2 / c^2  >  iou_threshold        (strictly; 1911.08287, eq. 12 with weight 1)

There is no limit on time and none on the number of candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, aligned_diou


def nms(
    boxes: Floats,
    scores: Floats,
    class_ids: NDArray[np.integer],
    iou_threshold: float,
    distance_weight: float = 1.0,
) -> NDArray[np.int64]:
    """Return the indices of the kept candidates, best score first.

    boxes (N, 4) xyxy, scores (N,), class_ids (N,). `distance_weight` 1 is DIoU-NMS, 0 is plain IoU-NMS.
    """
    order = np.argsort(-scores, kind="stable")
    kept = [_greedy(boxes, order[class_ids[order] == c], iou_threshold, distance_weight) for c in np.unique(class_ids)]
    survivors = np.zeros(len(order), dtype=bool)
    survivors[np.concatenate([np.empty(0, dtype=np.int64), *kept])] = True
    return order[survivors[order]]


def _greedy(boxes: Floats, order: NDArray[np.int64], threshold: float, distance_weight: float) -> NDArray[np.int64]:
    """Greedy pass over one class; `order` lists its candidates, best first."""
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[aligned_diou(boxes[best], boxes[order], distance_weight) <= threshold]
    return np.asarray(kept, dtype=np.int64)
