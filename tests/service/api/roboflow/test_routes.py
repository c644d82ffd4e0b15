"""Roboflow's routes: the calls of its SDK, the hosted form, keys and errors."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from tests.service.app_client import detect, png, serving
from tests.service.conftest import flat

IMAGE = png(flat(250, 60, 20, (32, 64)))
TEXT = base64.b64encode(IMAGE).decode()
HOSTED = "/toy/1"


def infer(client: TestClient, image: object = None, **members: object) -> Response:
    """POST as the SDK does."""
    document = {"model_id": "toy/1", "image": image or {"type": "base64", "value": TEXT}} | members
    return client.post("/infer/object_detection", json=document)


def corners(answer: dict[str, Any]) -> list[list[float]]:
    centers = [(p["x"], p["y"], p["width"] / 2, p["height"] / 2) for p in answer["predictions"]]
    return [[x - w, y - h, x + w, y + h] for x, y, w, h in centers]


def check_error(answer: Response, status: int, reason: str) -> None:
    """Check that the SDK can read the reason of an error."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert reason in answer.json()["message"]


def test_sdk_finds_the_model_and_detects(client: TestClient) -> None:
    listed = client.get("/model/registry", params={"api_key": "None"}).json()["models"]
    assert [row["model_id"] for row in listed] == ["toy", "toy/latest", "toy/1"]
    assert listed[1]["task_type"] == "object-detection"
    assert (listed[1]["input_height"], listed[1]["input_width"]) == (64, 64)
    assert client.post("/model/add", json={"model_id": "toy/1", "api_key": None}).json()["models"] == listed
    answer = infer(client, api_key=None).json()
    assert answer["image"] == {"width": 64, "height": 32}
    (prediction,) = answer["predictions"]  # the others are below 0.4
    assert (prediction["class"], prediction["class_id"]) == ("red", 0)


def test_boxes_and_scores_are_those_of_detect(client: TestClient) -> None:
    expected = detect(client, IMAGE, score=0.05, iou=0.3).json()["results"][0]["detections"]
    answer = infer(client, confidence=0.05).json()
    assert [p["confidence"] for p in answer["predictions"]] == [found["score"] for found in expected]
    for box, found in zip(corners(answer), expected, strict=True):
        assert box == pytest.approx(found["box"], abs=1e-6)


def test_list_is_answered_by_a_list(client: TestClient) -> None:
    other = base64.b64encode(png(flat(20, 100, 250))).decode()
    images = [{"type": "base64", "value": text} for text in (TEXT, other)]
    answers = infer(client, images).json()
    assert [answer["predictions"][0]["class"] for answer in answers] == ["red", "blue"]
    assert len(infer(client, images[:1]).json()) == 1


def test_options_reach_the_model(client: TestClient) -> None:
    """The confidence is below the lowest score of the model, and the limit above its candidates."""
    assert len(infer(client, confidence=0, max_detections=300).json()["predictions"]) == 3
    assert len(infer(client, confidence=0, max_detections=2).json()["predictions"]) == 2
    assert [p["class"] for p in infer(client, confidence=0, class_filter=["blue"]).json()["predictions"]] == ["blue"]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", ""])
def test_hosted_form_takes_base64_text(client: TestClient, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = client.post(HOSTED, content=TEXT, headers=headers)
    assert [p["class"] for p in answer.json()["predictions"]] == ["red"]


@pytest.mark.parametrize(("confidence", "count"), [("0.5", 1), ("50", 1), ("0.05", 3), ("5", 3), ("0", 3), ("1", 3)])
def test_hosted_form_takes_fractions_and_per_cent(client: TestClient, confidence: str, count: int) -> None:
    answer = client.post(HOSTED, params={"confidence": confidence, "overlap": 30, "format": "json"}, content=TEXT)
    assert len(answer.json()["predictions"]) == count


def test_info_names_the_server(client: TestClient) -> None:
    info = client.get("/info").json()
    assert info["name"] == "YOLO Lineage"
    assert info == client.get("/info").json()
    assert set(info) == {"name", "version", "uuid"}


def test_errors_have_a_message(client: TestClient) -> None:
    check_error(infer(client, model_id="tyo/1"), 404, "no model 'tyo'")
    check_error(infer(client, model_id="toy/9"), 404, "toy has no version '9'")
    check_error(infer(client, {"type": "url", "value": "http://x/a.jpg"}), 400, "expected base64")
    check_error(infer(client, {"value": "bm8gaW1hZ2U="}), 415, "")
    check_error(infer(client, confidence=7), 422, "score: expected a number")
    check_error(infer(client, class_filter=["purple"]), 422, "no class 'purple'")
    check_error(client.post("/infer/object_detection", content=b"[" * 100_000), 400, "the body")
    check_error(client.post("/model/add", json={"model_id": "gone"}), 404, "no model 'gone'")
    check_error(client.post(HOSTED, content="no base64!"), 400, "the body: expected base64")
    check_error(client.post("/gone/1", content=TEXT), 404, "no model 'gone'")
    check_error(client.post(HOSTED, params={"confidence": "x"}, content=TEXT), 400, "confidence: expected a number")
    check_error(client.get(HOSTED), 405, "expected POST")
    check_error(client.get("/infer/gone"), 404, "no such address")


def test_bad_image_of_a_list_is_named(client: TestClient) -> None:
    broken = base64.b64encode(IMAGE[:60]).decode()
    check_error(infer(client, [{"value": TEXT}, {"value": broken}]), 422, "image[1]: ")


def test_address_of_another_route_stays_its_own(client: TestClient) -> None:
    assert client.get("/models/1").headers["content-type"] == "application/problem+json"
    assert client.post("/toy/" + "9" * 5000, content=TEXT).status_code == 404


@pytest.fixture
def guarded(toy_package: Package, tmp_path: Path) -> Iterator[tuple[TestClient, str]]:
    """A client of a server with keys, and a key."""
    key = add_key(tmp_path / "keys.json", "camera", ("detect",))
    with serving(Repository(toy_package.path.parents[1]), keys=tmp_path / "keys.json", rate_per_key=1000) as client:
        yield client, key


def test_key_comes_in_query_body_or_header(guarded: tuple[TestClient, str], caplog: pytest.LogCaptureFixture) -> None:
    client, key = guarded
    caplog.set_level(logging.DEBUG)
    query, bearer = {"api_key": key}, {"Authorization": f"Bearer {key}"}
    document = {"model_id": "toy/1", "image": {"type": "base64", "value": TEXT}}
    calls = [
        ("GET", "/info", None),
        ("GET", "/model/registry", None),
        ("POST", "/model/add", {"model_id": "toy/1"}),
        ("POST", "/infer/object_detection", document),
    ]
    for method, path, body in calls:
        assert client.request(method, path, params=query, json=body).status_code == 200
        none = {"api_key": "None"}
        assert client.request(method, path, params=none, headers=bearer, json=body).status_code == 200
        check_error(client.request(method, path, json=body), 401, "expected an API key as api_key")
        check_error(client.request(method, path, params={"api_key": "wrong"}, json=body), 401, "unknown or expired")
        if body:
            assert client.request(method, path, json=body | query).status_code == 200
            check_error(client.request(method, path, json=body | {"api_key": "no"}), 401, "unknown or expired")
    assert client.post(HOSTED, params=query, content=TEXT).status_code == 200
    check_error(client.post(HOSTED, content=TEXT), 401, "expected an API key")
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("service")]
    assert logged
    assert not any(key in line for line in logged)


def test_key_in_the_query_opens_nothing_else(guarded: tuple[TestClient, str]) -> None:
    client, key = guarded
    for path in ("/models", "/models/1", "/metrics", "/shadow/report"):
        assert client.get(path, params={"api_key": key}).status_code == 401


def test_requests_are_counted_by_protocol(client: TestClient) -> None:
    client.post(HOSTED, content=TEXT)
    infer(client)
    text = client.get("/metrics").text
    for name in ("roboflow", "roboflow-hosted"):
        assert f'protocol="{name}",model="toy"' in text or f'model="toy",protocol="{name}"' in text


@pytest.mark.slow  # the import takes seconds
@pytest.mark.skipif(not find_spec("supervision"), reason="needs supervision, of the extra dev")
def test_supervision_reads_the_answer(client: TestClient) -> None:
    import supervision

    answer = infer(client, confidence=0.05).json()
    found = supervision.Detections.from_inference(answer)
    expected = detect(client, IMAGE, score=0.05, iou=0.3).json()["results"][0]["detections"]
    assert found.class_id.tolist() == [entry["class_id"] for entry in expected]
    assert found.confidence.tolist() == pytest.approx([entry["score"] for entry in expected])
    assert found.data["class_name"].tolist() == [entry["label"] for entry in expected]
    for box, entry in zip(found.xyxy, expected, strict=True):
        assert box == pytest.approx(entry["box"], abs=1e-4)
    assert len(supervision.Detections.from_inference(json.loads(infer(client, confidence=1.0).text))) == 0
