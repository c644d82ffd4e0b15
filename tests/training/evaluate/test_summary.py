from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny_onnx import toy_card, toy_onnx
from tests.training.write_data import write_data
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.evaluate.evaluation import EvaluationImages, evaluate
from training.evaluate.source import Source, open_source
from training.evaluate.summary import LATENCY_IMAGES, evaluation_document, measure_latency, write_evaluation


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(write_data(tmp_path / "data"))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(replace(toy_card(), class_names=("square", "bar", "other"))))
    return open_source(str(tmp_path / "toy.onnx"), tmp_path)


def test_document_adds_voc_metrics_and_latency_to_coco(dataset: Dataset, source: Source, tmp_path: Path) -> None:
    images = EvaluationImages(dataset.split("val").records, source.card)
    evaluation = evaluate(source.card, source.run, dataset, images)
    document = evaluation_document(evaluation, source, images)
    assert (document["model"], document["input"], document["images"]) == ("toy", [64, 64], 4)
    assert document["metrics"]["ap"] == evaluation.metrics.ap
    per_class = [entry["voc2007"] for entry in document["metrics"]["classes"]]
    assert document["metrics"]["voc2007"] == pytest.approx(sum(per_class) / len(per_class))
    assert document["latency_ms"] > 0

    write_evaluation(tmp_path / "out", evaluation, dataset.category_ids, document)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == json.loads(json.dumps(document))
    detections = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(detections) == sum(map(len, evaluation.detections))


def test_latency_is_measured_on_a_limited_number_of_images(dataset: Dataset, source: Source) -> None:
    batches: list[int] = []

    def run(feeds: dict[str, object]) -> object:
        batches.append(len(feeds["images"]))
        return source.run(feeds)

    records = dataset.split("val").records * 10
    measure_latency(source._replace(run=run), EvaluationImages(records, source.card))
    assert batches == [1] * LATENCY_IMAGES
