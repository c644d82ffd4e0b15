"""Requests and answers of `POST /detect`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lineage.client import native
from lineage.client.calls import Reply
from lineage.client.errors import ImageError, UnexpectedAnswer
from lineage.client.query import Query
from lineage.inputs import ImageFile
from lineage.results import ImageResult
from tests.lineage.client.scripted_server import FOUND

A, B = ImageFile("a.png", b"a"), ImageFile(None, b"b")


def test_one_image_is_the_body() -> None:
    call = native.request([A], Query(score=0.5))
    assert (call.content, call.files, call.params) == (b"a", (), [("score", "0.5")])
    assert call.headers["Accept"] == "application/json"


def test_several_images_are_files() -> None:
    call = native.request([A, B], Query())
    assert (call.content, call.files) == (None, [("a.png", b"a"), (None, b"b")])


def test_answer_has_detections_and_labels() -> None:
    [result] = native.parse(Reply(200, {}, json.dumps(FOUND).encode()), [A])
    assert isinstance(result, ImageResult)
    assert (result.size, result.labels, result.model, result.file) == ((48, 64), ["green"], "toy@1", "a.png")
    assert result.detections.boxes.tolist() == [[1.5, 2.0, 30.25, 40.0]]
    assert (result.detections.scores.tolist(), result.detections.class_ids.tolist()) == ([0.875], [1])
    assert result.timing_ms["total"] == 4.0


def test_empty_answer_has_arrays_of_the_same_form() -> None:
    answer: dict[str, Any] = FOUND | {"results": [{"image": {"width": 1, "height": 1}, "detections": []}]}
    [result] = native.parse(Reply(200, {}, json.dumps(answer).encode()), [A])
    assert isinstance(result, ImageResult)
    assert result.detections.boxes.shape == (0, 4)


def test_error_of_one_image_is_its_result() -> None:
    problem = {"title": "Image unreadable", "status": 422, "detail": "damaged", "request_id": "abc"}
    answer: dict[str, Any] = FOUND | {"results": [{"file": "a", "error": problem}, *FOUND["results"]]}  # type: ignore[misc]
    first, second = native.parse(Reply(200, {}, json.dumps(answer).encode()), [A, B])
    assert isinstance(first, ImageError)
    assert (first.title, first.detail) == ("Image unreadable", "damaged")
    assert isinstance(second, ImageResult)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"results": []}', b'{"results": [{}]}', b"\xff"])
def test_other_answers_are_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer, match="expected detections as JSON of a detection server; got text/html"):
        native.parse(Reply(200, {"content-type": "text/html; charset=utf-8"}, body), [A])
