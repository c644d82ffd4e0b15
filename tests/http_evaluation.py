"""Evaluate a served model through HTTP, as a client would."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_zoo.contract.detections import Detections
from training.data.dataset import Dataset
from training.evaluate import coco

QUERY = {"score": 0.001, "iou": 0.6, "nms": "iou"}  # the thresholds of an evaluation


def average_precision_through_http(client: Any, dataset: Dataset, model: str, split: str = "val") -> float:
    """Send every image of a split to POST /detect and return the AP of the responses."""
    records, detections = dataset.split(split).records, list[Detections]()
    for record in records:
        response = client.post("/detect", params={"model": model, **QUERY}, files={"file": record.path.read_bytes()})
        assert response.status_code == 200, response.text
        detections.append(as_detections(response.json()["results"][0]["detections"]))
    return coco.score(dataset, records, detections).metrics.ap


def as_detections(entries: list[dict[str, Any]]) -> Detections:
    return Detections(
        np.asarray([entry["box"] for entry in entries], dtype=np.float64).reshape(-1, 4),
        np.asarray([entry["score"] for entry in entries], dtype=np.float64),
        np.asarray([entry["class_id"] for entry in entries], dtype=np.int64),
    )
