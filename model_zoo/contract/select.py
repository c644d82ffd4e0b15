"""From all predictions of one image to its detections: what exported graphs do, in NumPy.

Thresholds select before NMS does: a prediction counts for its best class, or, where the card's `multi_label_below` says
so, for every class whose score is over the threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats
from model_zoo.contract.nms import nms

Indices = NDArray[np.int64]


class NMSThresholds(NamedTuple):
    """What is asked of one image."""

    score: float
    iou: float
    distance_weight: float


def select(boxes: Floats, scores: Floats, asked: NMSThresholds, multi_label_below: float, limit: int | None = None) -> Floats:
    """Return detections (n, 6), best first, as the graph's rows: x1, y1, x2, y2, score, class index.

    boxes (N, 4) xyxy, scores (N, C). `limit` is the most that are wanted; it spares time and changes nothing else.
    """
    which, class_ids, values = above_threshold(scores, asked.score, multi_label_below)
    kept = nms(boxes[which], values, class_ids, asked.iou, asked.distance_weight, limit)
    columns = (boxes[which], values[:, None], class_ids[:, None].astype(np.float32))
    return np.concatenate(columns, axis=1)[kept]


def above_threshold(scores: Floats, threshold: float, multi_label_below: float) -> tuple[Indices, Indices, Floats]:
    """List predictions of scores (N, C) strictly above the threshold: which, class, score.

    A threshold below `multi_label_below` lists every class of each, another one its best class alone.
    """
    limit = np.float32(threshold)  # as the graph takes it
    above = scores > limit
    if limit >= np.float32(multi_label_below):
        above &= np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
    which, class_ids = np.nonzero(above)
    return which, class_ids, scores[which, class_ids]
