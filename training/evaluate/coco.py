"""COCO's box metrics by faster-coco-eval, the same numbers as pycocotools and an order of magnitude sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from model_zoo.contract.boxes import xyxy_to_xywh
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import LineageError
from training.data.dataset import Dataset, Record

ALL_AREAS: Final = 0  # of all, small, medium, large
MOST: Final = -1  # of 1, 10, 100 detections
IOU_50: Final = 0


@dataclass(frozen=True)
class ClassMetrics:
    """One class: how many objects it has, AP over IoU 0.50 to 0.95, AP at 0.50; -1 where it has no object."""

    label: str
    objects: int
    ap: float
    ap50: float


@dataclass(frozen=True)
class Metrics:
    """COCO's twelve numbers, by name, and those of every class. A number is -1 where there is nothing to find."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    classes: tuple[ClassMetrics, ...]


NUMBERS: Final = [field.name for field in fields(Metrics)][:12]


@dataclass(frozen=True, eq=False)
class Scored:
    """Metrics, and precision (10 IoUs, 101 recalls, classes) at COCO's points, all areas, up to 100 detections."""

    metrics: Metrics
    precision: NDArray[np.float64]


def score(dataset: Dataset, records: Sequence[Record], detections: Sequence[Detections]) -> Scored:
    """Score detections, record by record and in the dataset's class ids, against the objects of `records`."""
    truth = COCO(ground_truth(dataset, records))
    found = results(records, detections, range(len(dataset.class_names)))
    evaluation = COCOeval_faster(truth, truth.loadRes(found), iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, ALL_AREAS, MOST]
    counts = np.bincount(np.concatenate([r.class_ids[~r.crowd] for r in records]), minlength=len(dataset.class_names))
    classes = tuple(
        ClassMetrics(label, int(count), _mean(precision[:, :, i]), _mean(precision[IOU_50, :, i]))
        for i, (label, count) in enumerate(zip(dataset.class_names, counts, strict=True))
    )
    numbers = dict(zip(NUMBERS, map(float, evaluation.stats), strict=False))
    return Scored(Metrics(**numbers, classes=classes), precision)


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
    """List detections, in the dataset's class ids, as COCO result records; `category_ids` class by class."""
    by_class = dict(enumerate(category_ids))
    pairs = zip(records, detections, strict=True)
    return [entry for record, found in pairs for entry in found.to_coco(record.image_id, by_class)]


def match_classes(class_names: Sequence[str], dataset: Dataset) -> dict[int, int]:
    """Map a model's class ids to the dataset's by label; LineageError where they share none."""
    known = {label: index for index, label in enumerate(dataset.class_names)}
    shared = {i: known[label] for i, label in enumerate(class_names) if label in known}
    if not shared:
        raise LineageError(
            f"expected a model of the dataset's classes ({_few(dataset.class_names)}); got one of {_few(class_names)}"
        )
    return shared


def _few(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else -1.0
