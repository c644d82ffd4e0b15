"""Official weights, imported and served, reach the numbers of the original program over HTTP."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from model_zoo.contract.boxes import pairwise_iou
from service.web.routes import FOLDER
from tests.e2e.server import Server
from tests.exports import official_yolov5n

IMAGES = ("000000303818", "000000456496")


@pytest.fixture(scope="module")
def server(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the official weights, imported with `lineage import`, on the canvases of the reference numbers."""
    models = official_yolov5n(tmp_path_factory, shared).path.parents[1]
    with Server(models, shapes="square", provider="cpu") as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="module")
def default_server(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the official weights without flags."""
    with Server(official_yolov5n(tmp_path_factory, shared).path.parents[1]) as server:
        yield server.wait_until_ready()


def detect(server: Server, image: Path, **query: object) -> list[dict[str, Any]]:
    answer = server.client.post("/detect", params={"model": "yolov5n", **query}, files={"file": image.read_bytes()})
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return list(result["detections"])


def as_rows(detections: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([[*d["box"], d["score"], d["class_id"]] for d in detections])


def test_samples_of_the_playground_show_their_objects(server: Server) -> None:
    samples = FOLDER / "samples" / "coco"
    expected = {"astronaut.jpg": "person", "cat.jpg": "cat", "coffee.jpg": "cup"}
    assert sorted(path.name for path in samples.glob("*.jpg")) == sorted(expected)
    for name, label in expected.items():
        assert label in {found["label"] for found in detect(server, samples / name)}


@pytest.mark.parametrize("image_id", IMAGES)
def test_detections_equal_the_original_program(server: Server, shared: Path, image_id: str) -> None:
    reference = np.load(shared / "weights" / f"yolov5n_{image_id}_640.npz")["dets_image"]
    image = shared / "data" / "coco_mini" / "images" / f"{image_id}.jpg"
    rows = as_rows(detect(server, image, score=0.25, iou=0.45, nms="iou"))
    assert rows.shape == reference.shape
    partner = pairwise_iou(reference[:, :4].astype(np.float64), rows[:, :4]).argmax(axis=1)
    assert sorted(partner) == list(range(len(rows)))
    np.testing.assert_allclose(rows[partner, :4], reference[:, :4], atol=1)
    np.testing.assert_allclose(rows[partner, 4], reference[:, 4], atol=0.01)
    np.testing.assert_array_equal(rows[partner, 5], reference[:, 5])


def average_precision(server: Server, data: Path) -> tuple[float, float]:
    """Return AP and AP50 on val2017 of coco_mini."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data / "annotations" / "val2017.json"))
    categories = {truth.cats[i]["name"]: i for i in truth.getCatIds()}
    records = []
    for image_id, image in truth.imgs.items():
        detections = detect(server, data / "images" / image["file_name"], score=0.001, iou=0.6, nms="iou")
        for d in detections:
            x1, y1, x2, y2 = d["box"]
            box = [x1, y1, x2 - x1, y2 - y1]
            category = categories[d["label"]]
            records.append({"image_id": image_id, "category_id": category, "bbox": box, "score": d["score"]})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(records), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def reference(data: Path) -> tuple[float, float]:
    results = json.loads((data / "reference_map.json").read_text())["results"]["val2017"]
    return results["AP"], results["AP50"]


def test_average_precision_equals_the_original_program(server: Server, shared: Path) -> None:
    data = shared / "data" / "coco_mini"
    assert average_precision(server, data) == pytest.approx(reference(data), abs=0.005)


def test_average_precision_of_the_defaults_is_not_lower(default_server: Server, shared: Path) -> None:
    data = shared / "data" / "coco_mini"
    for actual, expected in zip(average_precision(default_server, data), reference(data), strict=True):
        assert actual >= expected
