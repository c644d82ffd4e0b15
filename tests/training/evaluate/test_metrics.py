"""Metrics against the numbers of pycocotools and others on the same truth and detections."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import LineageError
from training.data.dataset import Dataset, Record, Split
from training.evaluate import coco
from training.evaluate.curves import confusion_matrix, curves
from training.evaluate.voc import voc_average_precision

Reference = dict[str, np.ndarray]


def _xyxy(rows: list[dict]) -> np.ndarray:
    boxes = np.asarray([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


class Scene:
    """The reference's truth and detections, in this project's types."""

    def __init__(self, folder: Path) -> None:
        truth = json.loads((folder / "small.gt.json").read_text())
        found = json.loads((folder / "small.dets.json").read_text())
        self.documents = truth, found
        categories = {c["id"]: i for i, c in enumerate(truth["categories"])}
        self.records, self.detections = [], []
        for image in truth["images"]:
            mine = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
            theirs = [d for d in found if d["image_id"] == image["id"]]
            self.records.append(
                Record(
                    Path(image["file_name"]),
                    (image["height"], image["width"]),
                    _xyxy(mine),  # float64: the reference has decimals that float32 would move
                    np.asarray([categories[a["category_id"]] for a in mine], dtype=np.int64),
                    np.asarray([a["iscrowd"] for a in mine], dtype=bool),
                    np.asarray([a["area"] for a in mine]),
                    image["id"],
                )
            )
            self.detections.append(
                Detections(
                    _xyxy(theirs),
                    np.asarray([d["score"] for d in theirs]),
                    np.asarray([categories[d["category_id"]] for d in theirs], dtype=np.int64),
                )
            )
        names = tuple(c["name"] for c in truth["categories"])
        split = Split("val", tuple(self.records), "")
        self.dataset = Dataset(folder, names, tuple(categories), {"val": split})
        self.reference: Reference = dict(np.load(folder / "small.npz"))


@pytest.fixture(scope="module")
def scene(shared: Path) -> Scene:
    return Scene(shared / "parity" / "training" / "coco_eval")


def test_the_twelve_numbers_are_those_of_pycocotools(scene: Scene) -> None:
    scored = coco.score(scene.dataset, scene.records, scene.detections)
    np.testing.assert_allclose(astuple(scored.metrics)[:12], scene.reference["stats"], atol=1e-6)
    np.testing.assert_allclose([c.ap for c in scored.metrics.classes], scene.reference["ap_per_category"], atol=1e-6)
    np.testing.assert_allclose(
        [c.ap50 for c in scored.metrics.classes], scene.reference["ap50_per_category"], atol=1e-6
    )
    np.testing.assert_allclose(scored.precision[0], scene.reference["precision_iou50_all_100"], atol=1e-6)
    np.testing.assert_allclose(scored.precision[5], scene.reference["precision_iou75_all_100"], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_any_data_scores_as_with_pycocotools(scene: Scene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    records = [replace(r, crowd=rng.random(len(r.crowd)) < 0.1) for r in scene.records]
    found = [
        Detections(d.boxes + rng.normal(0, 3, d.boxes.shape), rng.random(len(d)).round(2), d.class_ids)
        for d in scene.detections
    ]
    results = coco.results(records, found, range(4))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = coco.ground_truth(scene.dataset, records)
        truth.createIndex()
        oracle = COCOeval(truth, truth.loadRes(results), "bbox")
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    scored = coco.score(scene.dataset, records, found)
    np.testing.assert_allclose(astuple(scored.metrics)[:12], oracle.stats, atol=1e-9)


def test_nothing_found_scores_zero(scene: Scene) -> None:
    nothing = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    metrics = coco.score(scene.dataset, scene.records, [nothing] * len(scene.records)).metrics
    assert metrics.ap == 0
    assert [c.ap for c in metrics.classes] == [0, 0, 0, 0]


def test_a_model_of_other_classes_is_refused(scene: Scene) -> None:
    with pytest.raises(LineageError, match=r"expected a model with classes of the dataset \(c1, c2.*got one with cat"):
        coco.match_classes(["cat", "dog"], scene.dataset)


def test_classes_are_matched_by_label(scene: Scene) -> None:
    assert coco.match_classes(["c5", "cat", "c1"], scene.dataset) == {0: 3, 2: 0}


@pytest.mark.parametrize(("year", "key"), [("2007", "voc07_ap"), ("2010", "voc10_ap")])
def test_voc_average_precision(scene: Scene, year: str, key: str) -> None:
    whole = [replace(r, boxes=np.round(r.boxes)) for r in scene.records]
    found = voc_average_precision(whole, scene.detections, 4, year)
    np.testing.assert_allclose(found, scene.reference[key], atol=1e-9)


def test_precision_and_recall_at_the_best_score(scene: Scene) -> None:
    drawn = curves(scene.records, scene.detections, 4)
    for name in ("precision", "recall", "f1"):
        expected = scene.reference[f"yolov5_{name[0] if name != 'f1' else name}"]
        np.testing.assert_allclose(getattr(drawn, name)[:, drawn.best], expected, atol=1e-9)


def test_confusion_matrix(scene: Scene) -> None:
    """The original counts false detections on images alone where something was found; here they count everywhere."""
    matrix = confusion_matrix(scene.records, scene.detections, 4)
    expected = scene.reference["yolov5_confusion"]
    np.testing.assert_array_equal(matrix[:, :4], expected[:, :4])
    pairs = zip(scene.records, scene.detections, strict=True)
    with_a_pair = [(r, d) for r, d in pairs if (pairwise_iou(r.boxes[~r.crowd], d.boxes[d.scores > 0.25]) > 0.45).any()]
    records, detections = zip(*with_a_pair, strict=True)
    np.testing.assert_array_equal(confusion_matrix(records, detections, 4)[:4, 4], expected[:4, 4])
    assert matrix[:4].sum() == sum((d.scores > 0.25).sum() for d in scene.detections)
