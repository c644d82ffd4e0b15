"""The page of a run: whole, self-contained, and true to what was measured."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import LineageError
from training.data.dataset import Dataset, Record, Split
from training.evaluate import coco
from training.evaluate.evaluation import Evaluation
from training.report.images import make_sheet
from training.report.page import Page
from training.report.run import flatten, write_report

NAMES = ("cell", "<b>bold</b>", "absent $ \N{CJK UNIFIED IDEOGRAPH-4E2D}")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    folder.mkdir()
    rows = [{"epoch": i, "loss/box": 1 / (i + 1), "ap": i / 9, "ap50": i / 9, "lr": 0.01} for i in range(4)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.json").write_text(json.dumps({"model": "yolov5n", "recipe": {"epochs": 4}}))
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    records = []
    for i in range(3):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.full((40, 60, 3), 40 * i, dtype=np.uint8))
        boxes = np.asarray([[5, 5, 25, 25], [30, 10, 50, 30]], np.float32)
        flags, areas = np.zeros(2, dtype=bool), np.full(2, 400, np.float32)
        records.append(Record(path, (40, 60), boxes, np.asarray([0, 1]), flags, areas, i))
    return Dataset(tmp_path, NAMES, (1, 2, 3), {"val": Split("val", tuple(records), "")})


def evaluation(dataset: Dataset) -> Evaluation:
    records = dataset.splits["val"].records
    found = [Detections(r.boxes[:1], np.asarray([0.9], np.float32), r.class_ids[:1]) for r in records]
    return Evaluation(records, found, coco.score(dataset, records, found))


def test_the_report_holds_what_was_measured(run: Path, dataset: Dataset) -> None:
    page = write_report(run, dataset, evaluation(dataset)).read_text()
    assert "<td>cell</td><td>3</td><td>1.0000</td><td>1.0000</td>" in page
    assert "<td>&lt;b&gt;bold&lt;/b&gt;</td><td>3</td><td>0.0000</td>" in page
    assert "absent" not in page  # a class without objects has nothing to show
    assert "<td>recipe.epochs</td><td>4</td>" in page


def test_the_report_fetches_nothing_and_its_pictures_are_whole(run: Path, dataset: Dataset) -> None:
    page = write_report(run, dataset, evaluation(dataset)).read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 10  # nine plots and the comparison
    for source in sources:
        head, data = source.split(",", 1)
        assert head.startswith("data:image/")
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) is not None
    assert "http" not in page


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(LineageError, match=r"expected the folder of a run, with metrics\.jsonl"):
        write_report(tmp_path, dataset, evaluation(dataset))


def test_tables_show_a_dash_where_nothing_was_measured() -> None:
    page = Page("a & b")
    page.table(["x"], [[-1.0], [0.5], ["<i>"]])
    assert "<td>\N{EN DASH}</td>" in page.html()
    assert "<td>0.5000</td>" in page.html()
    assert "<td>&lt;i&gt;</td>" in page.html()
    assert "<h1>a &amp; b</h1>" in page.html()


def test_pictures_of_any_shape_are_laid_out() -> None:
    tall, wide = np.zeros((90, 30, 3), np.uint8), np.full((30, 90, 3), 200, np.uint8)
    laid = make_sheet([tall, wide, wide], columns=2)
    assert laid.shape[1] >= 2 * 480
    assert (laid[0, 0] == 0).all()
    assert (laid[5, 480 + 10] == 200).all()


def test_flatten_names_what_is_nested() -> None:
    assert flatten({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == [("a", 1), ("b.c", 2), ("b.d.e", 3)]
