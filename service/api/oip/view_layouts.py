"""Layouts of the FP32 views: the tensors that YOLOv5's `detect.py` and Ultralytics' `YOLO(url)` send and expect.

Both programs send RGB pixels divided by 255 on a letterboxed canvas, and suppress overlapping boxes themselves. So a view
runs the graph at its lowest score without suppression, and lays out all rows:

    yolov5       (N, 5 + classes): center x, center y, width, height, objectness, class scores as shares of objectness
    ultralytics  (4 + classes, N): center x, center y, width, height, class scores

Boxes are in canvas pixels. N is fixed by the card, and rows beyond those found are zero.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import xyxy_to_cxcywh
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections

Array = NDArray[np.float32]


def to_canvas(pixels: Array) -> NDArray[np.uint8]:
    """Return RGB pixels (3, H, W) from 0 to 1 as a canvas (H, W, 3).

    Rounding undoes a client's division by 255 exactly. Clients may send uninitialized memory to warm up: values out of
    range become some color, and so do NaN and infinity.
    """
    return np.asarray(cv2.merge([cv2.multiply(plane, 255.0, dtype=cv2.CV_8U) for plane in pixels]), np.uint8)


def row_count(card: ModelCard) -> int:
    """Return the number of rows of a view: one for each candidate, but never 6.

    Ultralytics takes a last side of 6 for finished detections.
    """
    return card.candidates if card.candidates != 6 else 7


def yolov5(card: ModelCard, found: Detections) -> Array:
    """Return the rows (N, 5 + classes) that YOLOv5's `detect.py` expects."""
    rows = np.zeros((row_count(card), 5 + len(card.class_names)), np.float32)
    boxes, objectness, scores = rows[:, :4], rows[:, 4:5], rows[:, 5:]
    _fill(boxes, scores, card, found)
    np.max(scores, axis=1, keepdims=True, out=objectness)
    np.divide(scores, objectness, out=scores, where=objectness > 0)
    return rows


def ultralytics(card: ModelCard, found: Detections) -> Array:
    """Return the columns (4 + classes, N) that Ultralytics' `YOLO(url)` expects."""
    columns = np.zeros((4 + len(card.class_names), row_count(card)), np.float32)
    _fill(columns[:4].T, columns[4:].T, card, found)
    return columns


def _fill(boxes: Array, scores: Array, card: ModelCard, found: Detections) -> None:
    """Fill boxes (N, 4) in center form and scores (N, classes) with what the graph found."""
    rows = _shared_rows(found.boxes) if _reports_best_class(card) else np.arange(len(found))
    boxes[rows] = xyxy_to_cxcywh(found.boxes)
    np.maximum.at(scores, (rows, found.class_ids), found.scores)


def _reports_best_class(card: ModelCard) -> bool:
    """Return whether the model reports only the best class of a box at its default score, but all at its lowest.

    The client then makes this choice at its own threshold, so it needs all classes of a box in one row.
    """
    bounds = card.thresholds
    return bounds.score_floor < bounds.multi_label_below <= bounds.score


def _shared_rows(boxes: Array) -> NDArray[np.int64]:
    """Return the row of each box (n, 4). Equal boxes, which are one prediction, share a row."""
    rows: dict[bytes, int] = {}
    keys = np.ascontiguousarray(boxes).view("V16").ravel().tolist()
    return np.asarray([rows.setdefault(key, len(rows)) for key in keys], np.int64)
