"""The binary form of requests and answers. test_core.py compares the results with those of the native interface."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lineage.client import oip
from lineage.client.calls import Reply
from lineage.client.errors import InvalidRequest, UnexpectedAnswer
from lineage.client.query import Query
from lineage.inputs import ImageFile
from model_zoo.contract.detections import Detections
from tests.service.app_client import png

FILE = ImageFile("a.png", png(np.zeros((48, 64, 3), np.uint8)))
ROWS = np.array([[[1, 2, 3, 4, 0.5, 1], [1, 2, 3, 4, 0.25, 0]], [[0, 0, 1, 1, 0.75, 2], [0] * 6]], np.float32)
COUNTS = np.array([2, 1], np.int32)
FOUND = Detections(ROWS[0, :, :4], ROWS[0, :, 4], ROWS[0, :, 5].astype(np.int64))
NAMES = ["red", "green", "blue"]


def reply(**changes: Any) -> Reply:
    """An answer with two images, and changes of its JSON part."""
    outputs = [
        {"name": name, "datatype": datatype, "shape": array.shape, "parameters": {"binary_data_size": array.nbytes}}
        for name, datatype, array in (("detections", "FP32", ROWS), ("count", "INT32", COUNTS))
    ]
    head = json.dumps({"model_name": "toy", "model_version": "3", "outputs": outputs} | changes).encode()
    return Reply(200, {oip.HEADER: str(len(head))}, head + ROWS.tobytes() + COUNTS.tobytes())


def test_request_has_files_and_thresholds() -> None:
    call = oip.infer_request([FILE, ImageFile(None, b"xy")], Query(score=0.3, nms="iou"), "toy@best")
    assert (call.method, call.path) == ("POST", "v2/models/toy/versions/best/infer")
    assert call.content is not None
    length = int(call.headers[oip.HEADER])
    head, tensor = json.loads(call.content[:length]), call.content[length:]
    image, score, weight = head["inputs"]
    assert (image["name"], image["datatype"], image["shape"]) == ("image", "BYTES", [2])
    assert image["parameters"]["binary_data_size"] == len(tensor)
    assert tensor == len(FILE.data).to_bytes(4, "little") + FILE.data + b"\2\0\0\0xy"
    assert (score["name"], score["data"]) == ("score_threshold", [0.3])
    assert (weight["name"], weight["data"]) == ("distance_weight", [0.0])
    assert [output["name"] for output in head["outputs"]] == ["detections", "count"]


def test_answer_has_detections_of_each_image() -> None:
    model, found = oip.parse_infer(reply(), 2)
    assert (model, [len(detections) for detections in found]) == ("toy@3", [2, 1])
    assert found[0].boxes.tolist() == ROWS[0, :, :4].tolist()
    assert found[1].class_ids.tolist() == [2]


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(200, {}, b"{}"),
        Reply(200, {oip.HEADER: "2"}, b"{}"),
        Reply(200, {oip.HEADER: "x"}, b"{}"),
        Reply(200, {"content-type": "text/html"}, b"<html>"),
        reply(outputs=[]),
        reply(outputs=None),
        reply(outputs=[{"name": "other", "shape": [1], "parameters": {"binary_data_size": 4}}]),
        Reply(200, reply().headers, reply().content[:-1]),
        Reply(200, reply().headers, reply().content + b"x"),
    ],
)
def test_other_answers_are_refused(wrong: Reply) -> None:
    with pytest.raises(UnexpectedAnswer, match="expected binary tensors of a detection server"):
        oip.parse_infer(wrong, 2)


def test_another_number_of_images_is_refused() -> None:
    with pytest.raises(UnexpectedAnswer):
        oip.parse_infer(reply(), 3)


def test_result_has_labels_and_the_size_of_the_file() -> None:
    result = oip.result(FILE, FOUND, "toy@3", NAMES, Query())
    assert (result.size, result.labels, result.model, result.file) == ((48, 64), ["green", "red"], "toy@3", "a.png")


@pytest.mark.parametrize("classes", ["red", ["red"], [0], ["red", "blue"]])
def test_classes_are_chosen_by_label_or_id(classes: list[str | int] | str) -> None:
    assert oip.result(FILE, FOUND, "toy@3", NAMES, Query(classes=classes)).labels == ["red"]


def test_best_detections_are_kept() -> None:
    assert oip.result(FILE, FOUND, "toy@3", NAMES, Query(max_detections=1)).labels == ["green"]


def test_unknown_class_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="got 'yellow'"):
        oip.result(FILE, FOUND, "toy@3", NAMES, Query(classes=["yellow"]))


def test_configuration_without_class_names_is_refused() -> None:
    with pytest.raises(UnexpectedAnswer, match="class_names"):
        oip.parse_class_names(Reply(200, {}, b'{"parameters": {}}'))
