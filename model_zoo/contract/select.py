"""Select the detections among all predictions of one image, in NumPy, as exported graphs do.

Thresholds apply before NMS. A prediction counts for its best class, or for every class above the threshold if that is
below the card's `multi_label_below`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats
from model_zoo.contract.nms import nms

Indices = NDArray[np.int64]


class NMSThresholds(NamedTuple):
    """Thresholds of one image, in the order of the graph's inputs."""

    score: float
    """Min score, exclusive."""
    iou: float
    """Measure above which NMS suppresses a box."""
    distance_weight: float
    """1 for DIoU-NMS, 0 for plain IoU-NMS."""


def select(
    boxes: Floats, scores: Floats, thresholds: NMSThresholds, multi_label_below: float, limit: int | None = None
) -> Floats:
    """Return detections (n, 6), best first, as the graph's rows: x1, y1, x2, y2, score, class index.

    Args:
        boxes: Boxes (N, 4), xyxy.
        scores: Class scores (N, C).
        thresholds: Thresholds of the image.
        multi_label_below: Score threshold below which a prediction counts for several classes.
        limit: Max number of detections; it saves time and changes nothing else.
    """
    indices, class_ids, values = above_threshold(scores, thresholds.score, multi_label_below)
    kept = nms(boxes[indices], values, class_ids, thresholds.iou, thresholds.distance_weight, limit)
    columns = (boxes[indices], values[:, None], class_ids[:, None].astype(np.float32))
    return np.concatenate(columns, axis=1)[kept]


def above_threshold(scores: Floats, threshold: float, multi_label_below: float) -> tuple[Indices, Indices, Floats]:
    """Return indices, class ids and scores of the predictions (N, C) strictly above the threshold.

    A threshold below `multi_label_below` returns every class of a prediction, a higher one only its best class.
    """
    limit = np.float32(threshold)  # the graph's dtype
    above = scores > limit
    if limit >= np.float32(multi_label_below):
        above &= np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
    indices, class_ids = np.nonzero(above)
    return indices, class_ids, scores[indices, class_ids]
