"""Detections: filters, and conversion to JSON and COCO."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from model_zoo.contract.detections import UNTRACKED, Detections

DETECTIONS = Detections(
    boxes=np.asarray([[10, 20, 40, 60], [0.12345, 0, 5, 5]], np.float32),
    scores=np.asarray([0.9, 0.1234567], np.float32),
    class_ids=np.asarray([1, 0], np.int64),
)
EMPTY = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


def test_to_dict_is_plain_json() -> None:
    entries = DETECTIONS.to_dict(["person", "bicycle"])
    assert entries[0] == {"box": [10.0, 20.0, 40.0, 60.0], "score": 0.9, "class_id": 1, "label": "bicycle"}
    assert entries[1] == {"box": [0.123, 0.0, 5.0, 5.0], "score": 0.123457, "class_id": 0, "label": "person"}
    assert json.loads(json.dumps(entries)) == entries


def test_from_dict_reads_what_to_dict_writes() -> None:
    entries = DETECTIONS.to_dict(["person", "bicycle"])
    assert Detections.from_dict(entries).to_dict(["person", "bicycle"]) == entries
    assert Detections.from_dict([]).boxes.shape == (0, 4)


def test_to_coco_maps_classes_and_converts_boxes() -> None:
    records = DETECTIONS.to_coco(image_id=7, category_ids={0: 1, 1: 2})
    assert records[0] == {"image_id": 7, "category_id": 2, "bbox": [10, 20, 30, 40], "score": pytest.approx(0.9)}
    assert [r["category_id"] for r in records] == [2, 1]
    json.dumps(records)


def test_empty_detections() -> None:
    assert len(DETECTIONS) == 2
    assert len(EMPTY) == 0
    assert EMPTY.to_dict([]) == []
    assert EMPTY.to_coco(1, {}) == []


def test_filter_classes() -> None:
    kept = DETECTIONS.filter_classes([0])
    assert kept.class_ids.tolist() == [0]
    np.testing.assert_array_equal(kept.boxes, DETECTIONS.boxes[1:])


def test_map_classes_drops_other_classes() -> None:
    assert DETECTIONS.map_classes({0: 5, 1: 3}).class_ids.tolist() == [3, 5]
    assert DETECTIONS.map_classes({1: 0}).class_ids.tolist() == [0]


def test_to_dict_and_to_coco_round_alike() -> None:
    entries, records = DETECTIONS.to_dict(["person", "bicycle"]), DETECTIONS.to_coco(7, {0: 0, 1: 1})
    for entry, record in zip(entries, records, strict=True):
        left, top, right, bottom = entry["box"]
        assert record["bbox"] == [left, top, right - left, bottom - top]
        assert record["score"] == entry["score"]


def test_numbers_are_rounded_as_python_rounds() -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(-10, 70_000, (999, 4)), [[0.0005, 0.0015, 2.0625, 1.0005]]]).astype(np.float32)
    scores = rng.uniform(0, 1, 1000).astype(np.float32)
    found = Detections(boxes, scores, np.zeros(1000, np.int64)).to_dict(["object"])
    assert [d["box"] for d in found] == [[round(float(value), 3) for value in box] for box in boxes]
    assert [d["score"] for d in found] == [round(float(score), 6) for score in scores]


def test_tracks_are_in_every_form_and_kept_by_filters() -> None:
    tracked = replace(DETECTIONS, track_ids=np.asarray([UNTRACKED, 7]))
    assert [entry.get("track_id") for entry in tracked.to_dict(["person", "bicycle"])] == [None, 7]
    assert ["track_id" in entry for entry in tracked.to_coco(1, {0: 1, 1: 2})] == [False, True]
    assert tracked.filter_classes([0]).tracks() == tracked.map_classes({0: 5}).tracks() == [7]
