"""The report of an evaluation is self-contained and shows its metrics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from training.data.dataset import Dataset, Record, Split
from training.evaluate import coco
from training.evaluate.evaluation import Evaluation
from training.report.evaluation import Assessment, flatten, write_evaluation_report

DOCUMENT = {
    "model": "toy <1>",
    "input": [64, 96],
    "latency_ms": 4.25,
    "device": "cpu fp32",
    "metrics": {"ap": 0.1},
    "protocol": {"score": 0.001},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return two images with two objects each."""
    folder = tmp_path_factory.mktemp("set") / "cells.coco"
    folder.mkdir()
    records = []
    for i in range(2):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), np.full((40, 60, 3), 90, dtype=np.uint8))
        boxes = np.asarray([[5, 5, 25, 25], [30, 10, 50, 30]], np.float32)
        flags, areas = np.zeros(2, dtype=bool), np.full(2, 400, np.float32)
        records.append(Record(path, (40, 60), boxes, np.asarray([0, 0]), flags, areas, i))
    return Dataset(folder, ("cell",), (1,), {"val": Split("val", tuple(records), "")})


def evaluate(dataset: Dataset, found: int) -> Evaluation:
    """Return an evaluation in which the first objects of the first image are detected, and a false one."""
    first, second = dataset.splits["val"].records
    boxes = np.concatenate([first.boxes[:found], [[0, 0, 4, 4]]]).astype(np.float32)
    scores = np.full(len(boxes), 0.8, np.float32)
    none = Detections(boxes[:0], scores[:0], np.zeros(0, np.int64))
    detections = [Detections(boxes, scores, np.zeros(len(boxes), np.int64)), none]
    return Evaluation([first, second], detections, coco.score(dataset, [first, second], detections))


def test_report_has_the_result_the_latency_and_the_options(dataset: Dataset, tmp_path: Path) -> None:
    page = write_evaluation_report(tmp_path, dataset, evaluate(dataset, 2), DOCUMENT).read_text()
    assert "<h1>toy &lt;1&gt; on cells</h1>" in page
    assert "toy &lt;1&gt; finds 50% of 4 objects in 2 images, and 67% of its detections are right." in page
    assert '<dd class="value">4.2 ms</dd><dd class="note">one image, cpu fp32</dd>' in page
    assert '<dd class="value">96 x 64</dd>' in page
    assert "<td>protocol.score</td><td>0.0010</td>" in page
    assert "<td>metrics.ap</td>" not in page
    assert "http" not in page


def test_images_are_named_with_their_mistakes(dataset: Dataset, tmp_path: Path) -> None:
    page = write_evaluation_report(tmp_path, dataset, evaluate(dataset, 2), DOCUMENT).read_text()
    worst, best = page.index("1.png: 0 of 2 found, 0 false"), page.index("0.png: 2 of 2 found, 1 false")
    assert page.index("<h3>Worst</h3>") < worst < page.index("<h3>Best</h3>") < best


def test_model_that_finds_nothing_is_explained(dataset: Dataset, tmp_path: Path) -> None:
    for found, is_explained in ((0, True), (1, False)):
        page = write_evaluation_report(tmp_path, dataset, evaluate(dataset, found), DOCUMENT).read_text()
        assert ("No detection matches an object" in page) == is_explained


def test_split_without_objects_has_no_division_by_zero(dataset: Dataset) -> None:
    evaluation = evaluate(dataset, 0)
    bare = [replace(r, boxes=r.boxes[:0], class_ids=r.class_ids[:0], crowd=r.crowd[:0]) for r in evaluation.records]
    none = [Detections(d.boxes[:0], d.scores[:0], d.class_ids[:0]) for d in evaluation.detections]
    assessment = Assessment(("cell",), Evaluation(bare, none, evaluation.coco))
    assert (assessment.recall, assessment.precision) == (0, 0)


def test_flatten_joins_nested_names_by_dots() -> None:
    assert flatten({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == [("a", 1), ("b.c", 2), ("b.d.e", 3)]
