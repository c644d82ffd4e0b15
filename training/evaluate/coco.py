"""COCO's box metrics, computed by faster-coco-eval: the numbers of pycocotools, ten times faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from model_zoo.contract.boxes import xyxy_to_xywh
from model_zoo.contract.detections import Detections
from training.data.dataset import Dataset, Record

ALL_AREAS: Final = 0  # index among all, small, medium, large
MAX_100_DETECTIONS: Final = -1  # index among limits of 1, 10, 100 detections
IOU_50: Final = 0


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class, -1 without objects."""

    label: str
    """Name of the class."""
    objects: int
    """Number of objects."""
    ap: float
    """Average precision, mean over IoU 0.50 to 0.95."""
    ap50: float
    """Average precision at IoU 0.50."""


@dataclass(frozen=True)
class Metrics:
    """COCO's twelve metrics and those of each class, -1 without objects."""

    ap: float
    """Average precision, mean over IoU 0.50 to 0.95."""
    ap50: float
    """Average precision at IoU 0.50."""
    ap75: float
    """Average precision at IoU 0.75."""
    ap_small: float
    """`ap` of objects below 32² pixels."""
    ap_medium: float
    """`ap` of objects from 32² to 96² pixels."""
    ap_large: float
    """`ap` of objects above 96² pixels."""
    ar1: float
    """Average recall with one detection per image."""
    ar10: float
    """Average recall with 10 detections per image."""
    ar100: float
    """Average recall with 100 detections per image."""
    ar_small: float
    """`ar100` of objects below 32² pixels."""
    ar_medium: float
    """`ar100` of objects from 32² to 96² pixels."""
    ar_large: float
    """`ar100` of objects above 96² pixels."""
    classes: tuple[ClassMetrics, ...]
    """Metrics of each class, in the order of the dataset."""


METRIC_NAMES: Final = [field.name for field in fields(Metrics)][:12]


@dataclass(frozen=True, eq=False)
class CocoResult:
    """Metrics, and the precision values they are means of."""

    metrics: Metrics
    """COCO's metrics."""
    precision: NDArray[np.float64]
    """Precision (10 IoUs, 101 recalls, classes) of all areas, up to 100 detections per image."""


def score(dataset: Dataset, records: Sequence[Record], detections: Sequence[Detections]) -> CocoResult:
    """Score the detections of each record, in the dataset's class ids, against its objects."""
    truth = COCO(ground_truth(dataset, records))
    entries = results(records, detections, range(len(dataset.class_names)))
    evaluation = COCOeval_faster(truth, truth.loadRes(entries), iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, ALL_AREAS, MAX_100_DETECTIONS]
    counts = np.bincount(np.concatenate([r.class_ids[~r.crowd] for r in records]), minlength=len(dataset.class_names))
    classes = tuple(
        ClassMetrics(label, int(count), _mean(precision[:, :, i]), _mean(precision[IOU_50, :, i]))
        for i, (label, count) in enumerate(zip(dataset.class_names, counts, strict=True))
    )
    values = dict(zip(METRIC_NAMES, map(float, evaluation.stats), strict=False))
    return CocoResult(Metrics(**values, classes=classes), precision)


def ground_truth(dataset: Dataset, records: Sequence[Record]) -> dict[str, Any]:
    """Return the objects of `records` as a COCO document whose category ids are class ids."""
    annotations: list[dict[str, Any]] = []
    for record in records:
        rows = zip(xyxy_to_xywh(record.boxes), record.class_ids, record.crowd, record.areas, strict=True)
        for box, class_id, crowd, area in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": record.image_id,
                    "category_id": int(class_id),
                    "bbox": [float(value) for value in box],
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
            )
    images = [{"id": r.image_id, "height": r.size[0], "width": r.size[1]} for r in records]
    categories = [{"id": i, "name": label} for i, label in enumerate(dataset.class_names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def results(
    records: Sequence[Record], detections: Sequence[Detections], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Return detections, in the dataset's class ids, as COCO result entries.

    Args:
        records: Records of the images.
        detections: Detections of each record.
        category_ids: COCO category id of each class.
    """
    by_class = dict(enumerate(category_ids))
    pairs = zip(records, detections, strict=True)
    return [entry for record, detected in pairs for entry in detected.to_coco(record.image_id, by_class)]


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else -1.0
