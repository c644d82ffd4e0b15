"""Precision, recall and F1 over the score threshold, and the confusion matrix.

Use them to explain a result; models are ranked by COCO's metrics. Both ignore objects marked `crowd`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, pairwise_iou
from model_zoo.contract.detections import Detections
from training.data.dataset import Record

SCORES: Final = np.linspace(0, 1, 1000)
SMOOTHING: Final = 101  # window of scores that mean F1 is averaged over before its maximum is located


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall over `SCORES` at one IoU, 0 for classes without objects or detections."""

    precision: NDArray[np.float64]
    """Precision (classes, 1000)."""
    recall: NDArray[np.float64]
    """Recall (classes, 1000)."""
    objects: NDArray[np.int64]
    """Number of objects (classes,)."""

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 (classes, 1000)."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    @property
    def mean_f1(self) -> NDArray[np.float64]:
        """F1 (1000,), mean over the classes that have objects."""
        known = self.objects > 0
        return self.f1[known].mean(axis=0) if known.any() else np.zeros_like(SCORES)

    @property
    def best(self) -> int:
        """Index of the score with the best mean F1, smoothed."""
        mean = np.pad(self.mean_f1, SMOOTHING // 2, mode="edge")
        return int(np.convolve(mean, np.full(SMOOTHING, 1 / SMOOTHING), mode="valid").argmax())


def curves(records: Sequence[Record], detections: Sequence[Detections], num_classes: int, iou: float = 0.5) -> Curves:
    """Compute precision and recall by score from the detections of each record, in the dataset's class ids."""
    correct = np.concatenate([match(r, d, iou) >= 0 for r, d in zip(records, detections, strict=True)])
    scores = np.concatenate([d.scores for d in detections])
    class_ids = np.concatenate([d.class_ids for d in detections])
    objects = np.bincount(np.concatenate([r.class_ids[~r.crowd] for r in records]), minlength=num_classes)
    rows = [_curve(scores[class_ids == i], correct[class_ids == i], int(objects[i])) for i in range(num_classes)]
    precision, recall = (np.stack(row) for row in zip(*rows, strict=True))
    return Curves(precision, recall, objects)


def match(record: Record, detected: Detections, iou: float = 0.5) -> NDArray[np.int64]:
    """Return the object that each detection finds, an index among those that are not `crowd`, or -1.

    Each detection claims its closest object of the same class. The best score wins.
    """
    overlap = pairwise_iou(record.boxes[~record.crowd].astype(np.float64), detected.boxes)
    same_class = record.class_ids[~record.crowd][:, None] == detected.class_ids[None]
    overlap = np.where(same_class & (overlap >= iou), overlap, 0)
    found = np.full(len(detected), -1)
    matched = set[int]()
    for detection in np.argsort(-detected.scores, kind="stable"):
        closest = int(overlap[:, detection].argmax()) if len(overlap) else 0
        if len(overlap) and overlap[closest, detection] > 0 and closest not in matched:
            found[detection] = closest
            matched.add(closest)
    return found


def confusion_matrix(
    records: Sequence[Record],
    detections: Sequence[Detections],
    num_classes: int,
    score: float = 0.25,
    iou: float = 0.45,
) -> NDArray[np.int64]:
    """Return the confusion matrix (classes + 1, classes + 1): rows detected, columns true, background last.

    Detections above `score` are paired with objects of any class above `iou`, closest pairs first.
    """
    background, size = num_classes, num_classes + 1
    cells = [np.empty(0, dtype=np.int64)]
    for record, detected in zip(records, detections, strict=True):
        boxes, true_ids = record.boxes[~record.crowd], record.class_ids[~record.crowd]
        confident = detected.scores > score
        detected_ids = detected.class_ids[confident]
        rows, columns = _closest_pairs(pairwise_iou(boxes.astype(np.float64), detected.boxes[confident]), iou).T
        cells += [
            detected_ids[columns] * size + true_ids[rows],
            background * size + np.delete(true_ids, rows),
            np.delete(detected_ids, columns) * size + background,
        ]
    return np.bincount(np.concatenate(cells), minlength=size**2).reshape(size, size)


def _curve(scores: Floats, correct: NDArray[np.bool_], objects: int) -> tuple[Floats, Floats]:
    if not objects or not len(scores):
        return np.zeros_like(SCORES), np.zeros_like(SCORES)
    order = np.argsort(-scores, kind="stable")
    true_positives = correct[order].cumsum()
    precision, recall = true_positives / np.arange(1, len(order) + 1), true_positives / objects
    negated = -scores[order]  # np.interp needs increasing values
    return np.interp(-SCORES, negated, precision, left=1), np.interp(-SCORES, negated, recall, left=0)


def _closest_pairs(overlap: Floats, iou: float) -> NDArray[np.int64]:
    """Pair rows with columns (n, 2) that overlap above `iou`, closest first, each at most once."""
    rows, columns = np.nonzero(overlap > iou)
    pairs: list[tuple[int, int]] = []
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    for i in np.argsort(-overlap[rows, columns], kind="stable"):
        row, column = int(rows[i]), int(columns[i])
        if row in free_rows and column in free_columns:
            pairs.append((row, column))
            free_rows.remove(row)
            free_columns.remove(column)
    return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
