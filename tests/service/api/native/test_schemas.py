"""Query parameters: what is refused, and under which name."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from service.api.native.schemas import DetectQuery
from service.inference.query import QueryOptions
from tests.service.app_client import check_problem, detect, png
from tests.service.conftest import flat


@pytest.mark.parametrize(
    "query",
    [
        {"score": "2"}, {"score": "-0.1"}, {"score": "nan"}, {"score": "inf"}, {"iou": "1.01"}, {"iou": "NaN"},
        {"score": "0"}, {"classes": "dog"}, {"classes": "3"}, {"classes": "-1"}, {"classes": ""},
        {"classes": "9" * 5000}, {"max_detections": "4"},
    ],
)  # fmt: skip
def test_values_outside_the_card_are_refused(client: TestClient, query: dict[str, str]) -> None:
    assert check_problem(detect(client, png(flat(9)), **query), 422, "Query out of range").startswith(next(iter(query)))


@pytest.mark.parametrize(
    "query",
    [
        {"score": "high"}, {"scor": "0.5"}, {"nms": "soft"}, {"max_detections": "0"}, {"max_detections": "9" * 400},
        {"max_detections": "1.5"}, {"model": ""}, {"model": "x" * 300}, {"classes": ["red"] * 1001},
    ],
)  # fmt: skip
def test_malformed_parameters_are_refused(client: TestClient, query: dict[str, object]) -> None:
    response = detect(client, png(flat(9)), **query)
    assert next(iter(query)) in check_problem(response, 422, "Query not understood")
    assert response.json()["errors"][0]["where"].startswith(f"query.{next(iter(query))}")


def test_query_becomes_options() -> None:
    assert DetectQuery().options() == QueryOptions()
    query = DetectQuery(model="toy", score=0.1, iou=0.2, nms="iou", classes=["red, 2", "blue"], max_detections=5)
    assert query.options() == QueryOptions(0.1, 0.2, 0.0, ["red", "2", "blue"], 5)


def test_quoted_class_names_may_hold_commas() -> None:
    assert DetectQuery(classes=['"cup, glass",fork', "id:3"]).options().classes == ["cup, glass", "fork", "id:3"]
