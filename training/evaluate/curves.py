"""Precision, recall and F1 by score, and what is taken for what: the curves and the matrix that people look at.

They explain a result; COCO's metrics judge it. Objects marked `crowd` are left out of both.
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
SMOOTH: Final = 101  # scores that the mean F1 is averaged over before its best is sought: the raw curve is ragged


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall (classes, 1000) at IoU 0.5 over `SCORES`; objects (classes,) there are.

    Classes without objects or without detections have zeros; the former do not count in the mean.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    objects: NDArray[np.int64]

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
        mean = np.pad(self.mean_f1, SMOOTH // 2, mode="edge")
        return int(np.convolve(mean, np.full(SMOOTH, 1 / SMOOTH), mode="valid").argmax())


def curves(records: Sequence[Record], detections: Sequence[Detections], num_classes: int, iou: float = 0.5) -> Curves:
    """Draw precision and recall by score from detections record by record, in the dataset's class ids."""
    right = np.concatenate([_right(r, d, iou) for r, d in zip(records, detections, strict=True)])
    scores = np.concatenate([d.scores for d in detections])
    class_ids = np.concatenate([d.class_ids for d in detections])
    objects = np.bincount(np.concatenate([r.class_ids[~r.crowd] for r in records]), minlength=num_classes)
    rows = [_curve(scores[class_ids == i], right[class_ids == i], int(objects[i])) for i in range(num_classes)]
    precision, recall = (np.stack(row) for row in zip(*rows, strict=True))
    return Curves(precision, recall, objects)


def confusion_matrix(
    records: Sequence[Record],
    detections: Sequence[Detections],
    num_classes: int,
    score: float = 0.25,
    iou: float = 0.45,
) -> NDArray[np.int64]:
    """Count what is taken for what: (classes + 1, classes + 1), rows detected, columns true, the last one background.

    Detections over `score` are paired with objects of any class over `iou`, closest pairs first.
    """
    background, sides = num_classes, num_classes + 1
    cells = [np.empty(0, dtype=np.int64)]
    for record, found in zip(records, detections, strict=True):
        boxes, true = record.boxes[~record.crowd], record.class_ids[~record.crowd]
        confident = found.scores > score
        detected = found.class_ids[confident]
        rows, columns = _closest_pairs(pairwise_iou(boxes.astype(np.float64), found.boxes[confident]), iou).T
        cells += [
            detected[columns] * sides + true[rows],
            background * sides + np.delete(true, rows),
            np.delete(detected, columns) * sides + background,
        ]
    return np.bincount(np.concatenate(cells), minlength=sides**2).reshape(sides, sides)


def _right(record: Record, found: Detections, iou: float) -> NDArray[np.bool_]:
    """Tell which detections are right: every one takes its closest object, the best scored has it."""
    overlap = pairwise_iou(record.boxes[~record.crowd].astype(np.float64), found.boxes)
    same = record.class_ids[~record.crowd][:, None] == found.class_ids[None]
    overlap = np.where(same & (overlap >= iou), overlap, 0)
    right = np.zeros(len(found), dtype=bool)
    taken = set[int]()
    for detection in np.argsort(-found.scores, kind="stable"):
        closest = int(overlap[:, detection].argmax()) if len(overlap) else 0
        if len(overlap) and overlap[closest, detection] > 0 and closest not in taken:
            right[detection] = True
            taken.add(closest)
    return right


def _curve(scores: Floats, right: NDArray[np.bool_], objects: int) -> tuple[Floats, Floats]:
    if not objects or not len(scores):
        return np.zeros_like(SCORES), np.zeros_like(SCORES)
    order = np.argsort(-scores, kind="stable")
    found = right[order].cumsum()
    precision, recall = found / np.arange(1, len(order) + 1), found / objects
    falling = -scores[order]
    return np.interp(-SCORES, falling, precision, left=1), np.interp(-SCORES, falling, recall, left=0)


def _closest_pairs(overlap: Floats, iou: float) -> NDArray[np.int64]:
    """Pair rows with columns (n, 2), closest first, each at most once, all over `iou`."""
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
