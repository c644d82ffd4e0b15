"""Evaluation of a detector: images, progress and thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract import images
from model_zoo.export.card import build_card
from tests.exports import ExportedModel
from training.data.dataset import Dataset
from training.evaluate import evaluation
from training.evaluate.evaluation import EvaluationImages, EvaluationProtocol, evaluate_detector


def test_images_are_decoded_once_if_they_fit(
    tiny: ExportedModel, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    monkeypatch.setattr(evaluation, "decode_image", lambda data: decoded.append(1) or images.decode_image(data))
    records = dataset.split("val").records
    evaluation_images = EvaluationImages(records, tiny.card, batch=5)
    first, second = list(evaluation_images), list(evaluation_images)
    assert [len(batch) for batch in first] == [5, 5, 2]
    assert first == second
    assert len(decoded) == len(records)
    monkeypatch.setattr(evaluation, "MAX_CACHE_BYTES", 0)
    uncached = EvaluationImages(records, tiny.card)
    for _ in range(2):
        assert sum(len(batch) for batch in uncached) == len(records)
    assert len(decoded) == 3 * len(records)


def test_detector_finds_its_own_detections(tiny: ExportedModel, dataset: Dataset) -> None:
    evaluation_images = EvaluationImages(dataset.split("val").records, build_card(tiny.detector), batch=5)
    batches: list[int] = []
    result = evaluate_detector(tiny.detector, dataset, evaluation_images, progress=batches.append)
    assert result.metrics.ar100 == pytest.approx(1)
    assert batches == [5, 5, 2]


def test_protocol_limits_the_scores(tiny: ExportedModel, dataset: Dataset) -> None:
    evaluation_images = EvaluationImages(dataset.split("val").records, build_card(tiny.detector))
    result = evaluate_detector(tiny.detector, dataset, evaluation_images, EvaluationProtocol(score=0.5))
    assert min(detections.scores.min() for detections in result.detections if len(detections)) > 0.5
    assert len(result.records) == len(result.detections)


def test_detections_have_class_ids_of_the_dataset(tiny: ExportedModel, dataset: Dataset) -> None:
    evaluation_images = EvaluationImages(dataset.split("val").records, build_card(tiny.detector))
    result = evaluate_detector(tiny.detector, dataset, evaluation_images)
    assert set(np.concatenate([d.class_ids for d in result.detections])) <= set(range(len(dataset.class_names)))
