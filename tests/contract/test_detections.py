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
