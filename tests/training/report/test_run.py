"""The report of a run is self-contained and shows its metrics."""

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
from training.report.run import write_report

NAMES = ("cell", "<b>bold</b>", "absent $ \N{CJK UNIFIED IDEOGRAPH-4E2D}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of four epochs."""
    folder = tmp_path_factory.mktemp("run")
    rows = [
        {"epoch": i, "loss/box": 1 / (i + 1), "ap": i / 9, "ap50": i / 9, "lr": 0.01, "seconds": 30.0} for i in range(4)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.json").write_text(json.dumps({"model": "yolov5n", "recipe": {"epochs": 4}}))
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return three images with an object of each of the first two classes."""
    folder = tmp_path_factory.mktemp("images")
    records = []
    for i in range(3):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), np.full((40, 60, 3), 40 * i, dtype=np.uint8))
        boxes = np.asarray([[5, 5, 25, 25], [30, 10, 50, 30]], np.float32)
        flags, areas = np.zeros(2, dtype=bool), np.full(2, 400, np.float32)
        records.append(Record(path, (40, 60), boxes, np.asarray([0, 1]), flags, areas, i))
    return Dataset(folder, NAMES, (1, 2, 3), {"val": Split("val", tuple(records), "")})


@pytest.fixture(scope="module")
def evaluation(dataset: Dataset) -> Evaluation:
    """Return an evaluation in which only the first object of each image is detected."""
    records = dataset.splits["val"].records
    detections = [Detections(r.boxes[:1], np.asarray([0.9], np.float32), r.class_ids[:1]) for r in records]
    return Evaluation(records, detections, coco.score(dataset, records, detections))


@pytest.fixture(scope="module")
def page(run: Path, dataset: Dataset, evaluation: Evaluation) -> str:
    return write_report(run, dataset, evaluation).read_text()


def test_report_begins_with_the_result(page: str) -> None:
    assert re.search(r"<h1>run\d+ on images\d+</h1>", page)
    sentence = re.search(r'<p class="lead">(.*?)</p>', page)
    assert sentence
    assert "finds 50% of 6 objects in 3 images, and 100% of its detections are right." in sentence[1]
    tiles = dict(re.findall(r'<dt>(.*?)</dt><dd class="value">(.*?)</dd>', page))
    assert tiles == {
        "AP": "0.500",
        "AP50": "0.500",
        "Recall": "50%",
        "Precision": "100%",
        "Epochs": "4",
        "Time": "2 min",
    }


def test_report_shows_metrics_and_configuration(page: str) -> None:
    assert re.search(r"<td>cell</td><td>3</td><td [^>]*>1.0000</td><td [^>]*>1.0000</td>", page)
    assert re.search(r"<td>&lt;b&gt;bold&lt;/b&gt;</td><td>3</td><td [^>]*>0.0000</td>", page)
    assert "<td>absent" not in page  # classes without objects are left out
    assert "<summary>Show 2 options</summary>" in page
    assert "<td>recipe.epochs</td><td>4</td>" in page


def test_contents_lead_to_every_part(page: str) -> None:
    titles = re.findall(r'<a href="#[\w-]+">(.*?)</a>', page)
    assert titles == ["Training", "Accuracy", "Best and worst images", "Data", "Configuration"]


def test_report_embeds_valid_images_and_loads_nothing(page: str) -> None:
    assert page.count("<svg ") == 9
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 3  # one of the worst images, two of the best
    for source in sources:
        head, data = source.split(",", 1)
        assert head.startswith("data:image/")
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) is not None
    assert "http" not in page


def test_folder_without_run_raises(tmp_path: Path, dataset: Dataset, evaluation: Evaluation) -> None:
    with pytest.raises(LineageError, match=r"expected the folder of a training run; it has no metrics\.jsonl"):
        write_report(tmp_path, dataset, evaluation)
