"""Average precision of the PASCAL VOC challenges, the metric of YOLOv1 and YOLOv2.

Matches need an IoU above 0.5, with sides counted in whole pixels: a box from 3 to 5 is three pixels wide. Difficult
objects (`crowd` here) count neither as found nor as missed. VOC 2007 averages precision at 11 recalls. VOC 2010 and
later take the area under the curve (Everingham et al., The PASCAL VOC Challenge, section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import Floats, pairwise_iou
from model_zoo.contract.detections import Detections
from training.data.dataset import Record

IOU: Final = 0.5
RECALLS: Final = np.arange(0, 1.1, 0.1)  # not exact tenths, as in the published numbers
Year = Literal["2007", "2010"]


def voc_average_precision(
    records: Sequence[Record], detections: Sequence[Detections], num_classes: int, year: Year = "2007"
) -> NDArray[np.float64]:
    """Return the AP (num_classes,) of detections in the dataset's class ids, -1 for classes without objects."""
    return np.asarray([_class_ap(records, detections, class_id, year) for class_id in range(num_classes)])


def _class_ap(records: Sequence[Record], detections: Sequence[Detections], class_id: int, year: Year) -> float:
    matches = [_match(record, detected, class_id) for record, detected in zip(records, detections, strict=True)]
    objects = sum(int((~r.crowd[r.class_ids == class_id]).sum()) for r in records)
    if not objects:
        return -1.0
    scores, correct, wrong = (np.concatenate(parts) for parts in zip(*matches, strict=True))
    order = np.argsort(-scores, kind="stable")
    true_positives, false_positives = correct[order].cumsum(), wrong[order].cumsum()
    precision = true_positives / np.maximum(true_positives + false_positives, 1)
    return _average(true_positives / objects, precision, year)


def _match(record: Record, detected: Detections, class_id: int) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Match the detections of one class and image, best first: return scores, true and false positive flags."""
    of_class = detected.filter_classes([class_id])
    order = np.argsort(-of_class.scores, kind="stable")
    is_class = record.class_ids == class_id
    overlaps = pairwise_iou(_whole_pixels(of_class.boxes[order]), _whole_pixels(record.boxes[is_class]))
    correct, wrong = np.zeros(len(order), dtype=bool), np.ones(len(order), dtype=bool)
    free = np.ones(int(is_class.sum()), dtype=bool)
    for row, overlap in enumerate(overlaps):
        if not overlap.size or overlap.max() <= IOU:
            continue
        best = overlap.argmax()
        difficult = record.crowd[is_class][best]
        correct[row] = free[best] and not difficult
        wrong[row] = not correct[row] and not difficult
        free[best] = False
    return of_class.scores[order], correct, wrong


def _whole_pixels(boxes: Floats) -> Floats:
    """Extend boxes to the far side of their last pixel."""
    extended: Floats = boxes + np.asarray([0.0, 0.0, 1.0, 1.0])
    return extended


def _average(recall: Floats, precision: Floats, year: Year) -> float:
    recalls = np.concatenate([[0], recall, [1]])
    best = np.maximum.accumulate(np.concatenate([[0], precision, [0]])[::-1])[::-1]  # at this recall or a higher one
    if year == "2010":
        return float(np.sum(np.diff(recalls) * best[1:]))
    return float(np.mean([precision[recall >= threshold].max(initial=0) for threshold in RECALLS]))
