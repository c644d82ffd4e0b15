"""Evaluation of a detector: images, progress and thresholds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.pipeline import choose_canvas, read_input
from model_zoo.export.card import build_card
from model_zoo.runtime.base import EngineOptions
from tests.exports import ExportedModel
from tests.images import striped_jpeg
from training.data.dataset import Dataset, Record
from training.evaluate import evaluation
from training.evaluate.evaluation import EvaluationImages, EvaluationProtocol, evaluate_detector


def test_images_are_read_once_if_they_fit(
    tiny: ExportedModel, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(
        evaluation, "read_input", lambda *args, **options: read.append(1) or read_input(*args, **options)
    )
    records = dataset.split("val").records
    evaluation_images = EvaluationImages(records, tiny.card, batch=5)
    first, second = list(evaluation_images), list(evaluation_images)
    assert [batch.indices for batch in first] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    assert first == second
    assert len(read) == len(records)
    monkeypatch.setattr(evaluation, "MAX_CACHE_BYTES", 0)
    uncached = EvaluationImages(records, tiny.card)
    for _ in range(2):
        assert sum(len(batch.items) for batch in uncached) == len(records)
    assert len(read) == 3 * len(records)


def test_batches_have_one_canvas_each(tiny: ExportedModel, dataset: Dataset) -> None:
    records = dataset.split("val").records
    canvases = EngineOptions(shapes="buckets").canvases(tiny.card)
    batches = list(EvaluationImages(records, tiny.card, batch=2, canvases=canvases))
    assert len({batch.items[0].geometry.canvas for batch in batches}) > 1
    for batch in batches:
        assert len({item.pixels.shape for item in batch.items}) == 1
        for index, item in zip(batch.indices, batch.items, strict=True):
            assert item.geometry.image == records[index].size
            assert item.geometry.canvas == choose_canvas(tiny.card, records[index].size, canvases)
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(records)))


def test_canvases_are_those_of_the_card(tiny: ExportedModel, dataset: Dataset) -> None:
    records = dataset.split("val").records
    for shapes in ("square", "buckets"):
        card = replace(tiny.card, shapes=shapes)
        used = {item.geometry.canvas for batch in EvaluationImages(records, card) for item in batch.items}
        assert (len(used) > 1) == (shapes == "buckets")


def test_detections_stay_with_their_records_on_several_canvases(tiny: ExportedModel, dataset: Dataset) -> None:
    """The objects were found on square canvases, and other canvases change the scores a little."""
    images = EvaluationImages(dataset.split("val").records, replace(tiny.card, shapes="buckets"), batch=5)
    assert evaluate_detector(tiny.detector, dataset, images).metrics.ar100 > 0.8


@pytest.mark.parametrize("exact", [False, True])
def test_large_jpegs_are_read_as_by_the_server(tiny: ExportedModel, tmp_path: Path, exact: bool) -> None:
    (tmp_path / "1.jpg").write_bytes(striped_jpeg(1024))
    nothing = np.zeros(0, np.float32)
    record = Record(tmp_path / "1.jpg", (1, 1), nothing.reshape(0, 4), nothing, nothing > 0, nothing, 0)
    (batch,) = EvaluationImages([record], replace(tiny.card, input_size=(128, 128)), exact=exact)
    assert batch.items[0].pixels[..., 0].mean() == pytest.approx(56 if exact else 14, abs=4)


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
