"""Messages about query parameters."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from service.api.native.query_errors import FIXED, SYNONYMS
from service.api.native.schemas import DetectQuery
from tests.service.app_client import check_problem, detect, png
from tests.service.conftest import flat


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("conf", "score"),
        ("Confidence", "score"),
        ("conf_thres", "score"),
        ("min_confidence", "score"),
        ("confidence_threshold", "score"),
        ("conf-threshold", "score"),
        ("min_score", "score"),
        ("scor", "score"),
        ("iou_thres", "iou"),
        ("iou_threshold", "iou"),
        ("nms_thresh", "iou"),
        ("max_det", "max_detections"),
        ("maxdetections", "max_detections"),
        ("class", "classes"),
        ("category", "classes"),
        ("weights", "model"),
        ("nmss", "nms"),
    ],
)
def test_known_synonyms_and_typos_are_suggested(client: TestClient, name: str, meant: str) -> None:
    response = detect(client, png(flat(1)), **{name: "1"})
    detail = check_problem(response, 422, "Query not understood")
    assert detail == f"query.{name}: unknown parameter; did you mean {meant}?"
    assert response.json()["errors"] == [
        {"where": f"query.{name}", "reason": f"unknown parameter; did you mean {meant}?"}
    ]


def test_options_that_are_fixed_are_explained(client: TestClient) -> None:
    assert detect(client, png(flat(1)), imgsz=640).json()["detail"].endswith("the model's card sets the input size")
    assert "the body has the image" in detect(client, png(flat(1)), url="http://x/a.jpg").json()["detail"]
    assert "per class" in detect(client, png(flat(1)), agnostic_nms=1).json()["detail"]


def test_many_unknown_names_give_a_short_answer(client: TestClient) -> None:
    response = detect(client, png(flat(1)), **{f"a{number}": 1 for number in range(500)})
    assert len(response.json()["errors"]) == 10
    assert len(response.text) < 5000


def test_unknown_names_list_the_known_ones(client: TestClient) -> None:
    detail = detect(client, png(flat(1)), qwxz=1).json()["detail"]
    assert detail.endswith("expected one of model, score, iou, nms, classes, max_detections")


def test_values_are_shown(client: TestClient) -> None:
    response = detect(client, png(flat(1)), score="abc", nms="soft", max_detections="9" * 500)
    assert [fault["where"] for fault in response.json()["errors"]] == [
        "query.score",
        "query.nms",
        "query.max_detections",
    ]
    assert "got 'abc'" in response.json()["detail"]
    assert "'diou' or 'iou'; got 'soft'" in response.json()["detail"]
    assert len(response.text) < 2000


def test_tables_name_real_parameters() -> None:
    assert set(SYNONYMS.values()) <= DetectQuery.model_fields.keys()
    assert not (SYNONYMS.keys() | FIXED.keys()) & DetectQuery.model_fields.keys()
