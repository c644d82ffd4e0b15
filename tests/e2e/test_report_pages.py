"""Reports of a run, an evaluation and a comparison in a real browser: layout and accessibility."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from tests.e2e.browser import SCREENSHOTS, audit, needs_chromium, watched_page
from tests.tiny_onnx import toy_card
from training.data.dataset import Dataset, Record, Split
from training.evaluate import coco
from training.evaluate.evaluation import Evaluation
from training.report.comparison import write_comparison
from training.report.evaluation import write_evaluation_report
from training.report.run import write_report
from training.run.compare import ComparedModel, Comparison

pytestmark = [needs_chromium, pytest.mark.slow]

GENERATIONS: Final = ("yolov1", "yolov2", "yolov3", "yolov4", "yolov5", "yolox", "yolov6", "yolov7")
NAMES: Final = ("cell", "أحمر", "a class with a name that is much longer than the others are", "absent")
EPOCHS: Final = [
    {"epoch": i + 1, "loss": 4 / (i + 1), "loss/box": 1 / (i + 1), "ap": i / 20, "ap50": i / 12, "lr": 0.01}
    | {"seconds": 300.0, "images_per_second": 40.0}
    for i in range(10)
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return the files of three reports."""
    folder = tmp_path_factory.mktemp("reports")
    dataset = write_dataset(folder)
    evaluation = evaluate(dataset)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in EPOCHS))
    (folder / "config.json").write_text(json.dumps({"model": "yolov5n", "recipe": {"epochs": 10, "note": "x" * 90}}))
    run = write_report(folder, dataset, evaluation)
    (folder / "evaluation").mkdir()
    document = {"model": "yolov5n", "input": [640, 640], "latency_ms": 12.5, "device": "cpu fp32", "metrics": {}}
    (folder / "comparison").mkdir()
    write_comparison(folder / "comparison", compare(dataset, evaluation))
    return {
        "run": run,
        "evaluation": write_evaluation_report(folder / "evaluation", dataset, evaluation, document),
        "comparison": folder / "comparison" / "comparison.html",
    }


def write_dataset(folder: Path) -> Dataset:
    """Write three images with an object of each of the first three classes."""
    records, noise = [], np.random.default_rng(0)
    boxes = np.asarray([[20, 20, 90, 90], [120, 40, 200, 160], [230, 30, 310, 90]], np.float32)
    for i in range(3):
        path = folder / f"{i}-image-of-a-microscope-with-a-long-name.jpg"
        cv2.imwrite(str(path), noise.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1))
        areas = np.full(3, 6000, np.float32)
        records.append(Record(path, (240, 320), boxes, np.arange(3), np.zeros(3, dtype=bool), areas, i))
    return Dataset(folder / "cells", NAMES, (1, 2, 3, 4), {"val": Split("val", tuple(records), "")})


def evaluate(dataset: Dataset) -> Evaluation:
    """Return an evaluation in which the first two objects of each image are detected."""
    records = dataset.splits["val"].records
    scores = np.asarray([0.9, 0.6], np.float32)
    detections = [Detections(record.boxes[:2], scores, record.class_ids[:2]) for record in records]
    return Evaluation(records, detections, coco.score(dataset, records, detections))


def compare(dataset: Dataset, evaluation: Evaluation) -> Comparison:
    """Return a comparison of all generations, one of which fails."""
    models = [
        ComparedModel(
            family,
            replace(toy_card(family), family=family, params=(i + 1) * 10**6, gflops=2.0 * (i + 1)),
            {"ap": 0.1 + 0.05 * i, "ap50": 0.2 + 0.05 * i, "ap75": 0.1},
            EPOCHS,
            latency_ms=10.0 + 3 * i,
            sample=evaluation.detections[0],
        )
        for i, family in enumerate(GENERATIONS)
    ]
    return Comparison(dataset, models, ["yolov9: there is no such model"], evaluation.records[0])


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["run", "evaluation", "comparison"])
def test_report_is_accessible(browser: Any, reports: Mapping[str, Path], name: str, scheme: str, width: int) -> None:
    view = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with watched_page(browser, "file://", **view) as page:
        page.goto(reports[name].as_uri())
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert audit(page) == []
        page.screenshot(path=SCREENSHOTS / f"report-{name}-{scheme}-{width}.png", full_page=True)
