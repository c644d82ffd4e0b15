"""What detections look like to the outside."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model_zoo.contract.detections import Detections

FOUND = Detections(
    boxes=np.asarray([[10, 20, 40, 60], [0.12345, 0, 5, 5]], np.float32),
    scores=np.asarray([0.9, 0.1234567], np.float32),
    class_ids=np.asarray([1, 0], np.int64),
)
NOTHING = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


def test_to_dict_is_plain_json() -> None:
    listed = FOUND.to_dict(["person", "bicycle"])
    assert listed[0] == {"box": [10.0, 20.0, 40.0, 60.0], "score": 0.9, "class_id": 1, "label": "bicycle"}
    assert listed[1] == {"box": [0.123, 0.0, 5.0, 5.0], "score": 0.123457, "class_id": 0, "label": "person"}
    assert json.loads(json.dumps(listed)) == listed


def test_to_coco_maps_classes_and_gives_width_and_height() -> None:
    records = FOUND.to_coco(image_id=7, category_ids={0: 1, 1: 2})
    assert records[0] == {"image_id": 7, "category_id": 2, "bbox": [10, 20, 30, 40], "score": pytest.approx(0.9)}
    assert [r["category_id"] for r in records] == [2, 1]
    json.dumps(records)


def test_nothing_found() -> None:
    assert len(FOUND) == 2
    assert len(NOTHING) == 0
    assert NOTHING.to_dict([]) == []
    assert NOTHING.to_coco(1, {}) == []


def test_only_some_classes() -> None:
    kept = FOUND.filter_classes([0])
    assert kept.class_ids.tolist() == [0]
    np.testing.assert_array_equal(kept.boxes, FOUND.boxes[1:])


def test_renamed_classes_leave_the_others_out() -> None:
    assert FOUND.map_classes({0: 5, 1: 3}).class_ids.tolist() == [3, 5]
    assert FOUND.map_classes({1: 0}).class_ids.tolist() == [0]


def test_a_client_that_reads_to_dict_scores_what_to_coco_does() -> None:
    listed, records = FOUND.to_dict(["person", "bicycle"]), FOUND.to_coco(7, {0: 0, 1: 1})
    for shown, record in zip(listed, records, strict=True):
        left, top, right, bottom = shown["box"]
        assert record["bbox"] == [left, top, right - left, bottom - top]
        assert record["score"] == shown["score"]
