"""Average precision of the PASCAL VOC challenges, by which YOLOv1 and v2 were measured.

IoU over 0.5 with sides counted in whole pixels (a box from 3 to 5 is three wide); difficult objects, `crowd` here, are
neither found nor missed. VOC 2007 averages precision at 11 recalls, VOC 2010 and later take the area under the curve
(Everingham et al., The PASCAL VOC Challenge, section 4.2).
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
RECALLS: Final = np.arange(0, 1.1, 0.1)  # not exact tenths: published numbers were counted with these
Year = Literal["2007", "2010"]


def voc_average_precision(
    records: Sequence[Record], detections: Sequence[Detections], num_classes: int, year: Year = "2007"
) -> NDArray[np.float64]:
    """Return AP (num_classes,) of detections record by record, in the dataset's class ids; -1 without an object."""
    return np.asarray([_of_class(records, detections, class_id, year) for class_id in range(num_classes)])


def _of_class(records: Sequence[Record], detections: Sequence[Detections], class_id: int, year: Year) -> float:
    judged = [_judge(record, found, class_id) for record, found in zip(records, detections, strict=True)]
    objects = sum(int((~r.crowd[r.class_ids == class_id]).sum()) for r in records)
    if not objects:
        return -1.0
    scores, right, wrong = (np.concatenate(parts) for parts in zip(*judged, strict=True))
    order = np.argsort(-scores, kind="stable")
    found, false = right[order].cumsum(), wrong[order].cumsum()
    precision = found / np.maximum(found + false, 1)
    return _average(found / objects, precision, year)


def _judge(record: Record, found: Detections, class_id: int) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell of one image's detections of a class, best first, their scores and which are right and which wrong."""
    of_class = found.only([class_id])
    order = np.argsort(-of_class.scores, kind="stable")
    here = record.class_ids == class_id
    overlaps = pairwise_iou(_whole(of_class.boxes[order]), _whole(record.boxes[here]))
    right, wrong = np.zeros(len(order), dtype=bool), np.ones(len(order), dtype=bool)
    free = np.ones(int(here.sum()), dtype=bool)
    for row, overlap in enumerate(overlaps):
        if not overlap.size or overlap.max() <= IOU:
            continue
        best = overlap.argmax()
        difficult = record.crowd[here][best]
        right[row] = free[best] and not difficult
        wrong[row] = not right[row] and not difficult
        free[best] = False
    return of_class.scores[order], right, wrong


def _whole(boxes: Floats) -> Floats:
    """Let boxes reach the far side of their last pixel."""
    whole: Floats = boxes + np.asarray([0.0, 0.0, 1.0, 1.0])
    return whole


def _average(recall: Floats, precision: Floats, year: Year) -> float:
    reached = np.concatenate([[0], recall, [1]])
    best = np.maximum.accumulate(np.concatenate([[0], precision, [0]])[::-1])[::-1]  # at this recall or a higher one
    if year == "2010":
        return float(np.sum(np.diff(reached) * best[1:]))
    return float(np.mean([precision[recall >= at].max(initial=0) for at in RECALLS]))
