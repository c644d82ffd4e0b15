"""Layouts of the FP32 views: the tensors that YOLOv5's `detect.py` and Ultralytics' `YOLO(url)` send and expect.

Both programs send RGB pixels divided by 255 on a letterboxed canvas, and suppress overlapping boxes themselves. A view
runs the graph at its lowest score without suppression, and lays out all rows:

    yolov5       (B, N, 5 + classes): center x, center y, width, height, objectness, class scores divided by objectness
    ultralytics  (B, 4 + classes, N): center x, center y, width, height, class scores

Boxes are in canvas pixels. N is fixed by the card, and rows beyond those found are zero.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    planes = [cv2.multiply(plane, 255.0, dtype=cv2.CV_8U) for plane in pixels]  # type: ignore[call-overload]  # scalars too
    return np.asarray(cv2.merge(planes), np.uint8)


def row_count(card: ModelCard) -> int:
    """Return the number of rows of a view: one for each candidate, but never 6.

    Ultralytics takes a last side of 6 for finished detections.
    """
    return card.candidates if card.candidates != 6 else 7


def yolov5_shape(card: ModelCard) -> tuple[int, int]:
    """Return the shape that YOLOv5's `detect.py` expects for one image."""
    return row_count(card), 5 + len(card.class_names)


def yolov5(card: ModelCard, images: Sequence[Detections]) -> Array:
    """Return the output (B, N, 5 + classes) that YOLOv5's `detect.py` expects."""
    output = np.zeros((len(images), *yolov5_shape(card)), np.float32)
    boxes, objectness, scores = output[..., :4], output[..., 4:5], output[..., 5:]
    for index, found in enumerate(images):
        _fill(boxes[index], scores[index], card, found)
    np.max(scores, axis=2, keepdims=True, out=objectness)
    np.divide(scores, objectness, out=scores, where=objectness > 0)
    return output


def ultralytics_shape(card: ModelCard) -> tuple[int, int]:
    """Return the shape that Ultralytics' `YOLO(url)` expects for one image."""
    return 4 + len(card.class_names), row_count(card)


def ultralytics(card: ModelCard, images: Sequence[Detections]) -> Array:
    """Return the output (B, 4 + classes, N) that Ultralytics' `YOLO(url)` expects."""
    output = np.zeros((len(images), *ultralytics_shape(card)), np.float32)
    for columns, found in zip(output, images, strict=True):
        _fill(columns[:4].T, columns[4:].T, card, found)
    return output


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
