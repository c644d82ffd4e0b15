"""DOODS, as Home Assistant and pydoods call it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from tests.service.app_client import detect, png, serving
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import open_fake_engine

IMAGE = png(flat(200, 120, 30))


def encoded(image: bytes = IMAGE) -> str:
    return base64.b64encode(image).decode()


def post(client: TestClient, **members: object) -> Response:
    return client.post("/doods/detect", json={"data": encoded(), "detector_name": "default"} | members)


def refusal(response: Response, status: int = 400) -> str:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    return str(response.json()["error"])


def home_assistant(client: TestClient, detector: str, labels: dict[str, float]) -> list[dict[str, Any]]:
    """Do as the integration: look for the detector, warn of labels it lacks, send an image, read every member."""
    detectors = {d["name"]: d for d in client.get("/doods/detectors").json()["detectors"]}
    asked = detectors[detector]
    assert asked["width"] / asked["height"] == 1
    known = {label: confidence for label, confidence in labels.items() if label == "*" or label in asked["labels"]}
    answer = post(client, detector_name=detector, detect=known).json()
    return [
        {"box": [d["top"], d["left"], d["bottom"], d["right"]], "label": d["label"], "score": float(d["confidence"])}
        for d in answer["detections"]
    ]


def test_home_assistant_finds_its_detector_and_labels(client: TestClient) -> None:
    matches = home_assistant(client, "default", {"red": 50.0, "green": 30.0, "truck": 10.0})
    assert [(match["label"], match["score"]) for match in matches] == [("red", 78.4314), ("green", 47.0588)]
    np.testing.assert_allclose(matches[0]["box"], [15 / 64, 25 / 64, 141.45 / 512, 210 / 512], atol=1e-5)
    assert [match["label"] for match in home_assistant(client, "toy", {"*": 10})] == ["red", "green", "blue"]


def test_detectors_describe_the_models(client: TestClient) -> None:
    toy = {"type": "toy", "model": "toy@1", "labels": ["red", "green", "blue"], "width": 64, "height": 64}
    expected = [{"name": "default", **toy}, {"name": "toy", **toy}]
    assert client.get("/doods/detectors").json() == {"detectors": expected}


def test_boxes_are_those_of_detect(client: TestClient) -> None:
    image = png(flat(250, 130, 90, size=(200, 90)))
    native = detect(client, image, score=0.1).json()["results"][0]["detections"]
    found = post(client, data=encoded(image), detect={"*": 10}, id="42").json()
    assert found["id"] == "42"
    for expected, detection in zip(native, found["detections"], strict=True):
        box = [90 * detection["left"], 200 * detection["top"], 90 * detection["right"], 200 * detection["bottom"]]
        np.testing.assert_allclose(box, expected["box"], atol=1e-3)
        assert detection["confidence"] == pytest.approx(100 * expected["score"], abs=1e-4)


def test_thresholds_below_the_floor_and_unknown_members_are_accepted(client: TestClient) -> None:
    answer = post(client, detect={"*": 0}, regions=[{"top": 0, "detect": {"*": 1}}], preprocess=["grayscale"], id=None)
    assert [d["label"] for d in answer.json()["detections"]] == ["red", "green", "blue"]
    assert post(client, detect={}).json()["detections"] == post(client, detect=None).json()["detections"]
    assert len(client.post("/doods/detect", content=f'{{"data": "{encoded()}"}}').json()["detections"]) == 2


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"detector_name": "none"}, "detector_name: no model 'none'"),
        ({"detector_name": "toy@9"}, "detector_name: "),
        ({"data": "???"}, "data: expected base64"),
        ({"data": ""}, "expected a JPEG, PNG, WebP, TIFF or BMP image"),
        ({"data": encoded(b"no image")}, "expected a JPEG, PNG, WebP, TIFF or BMP image"),
        ({"data": 5}, "data: expected a string; got 5"),
        ({"detect": {"*": 101}}, "detect.*: expected at most 100; got 101"),
        ({"detect": {"red": -1}}, "detect.red: expected at least 0"),
        ({"detect": {"red": "high"}}, "detect.red: expected a number; got 'high'"),
        ({"detect": ["red"]}, "detect: expected a"),
        ({"id": 10 * ["x"]}, "id: expected a string"),
    ],
)
def test_bad_requests_have_one_error(client: TestClient, members: dict[str, object], reason: str) -> None:
    assert reason in refusal(post(client, **members))


def test_unknown_detector_is_answered_with_the_known_ones(client: TestClient) -> None:
    assert "available: toy" in refusal(post(client, detector_name="none"))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[" * 100_000, b'{"data": "' + b"," * 20_000 + b'"}', b"\xff", b"{}"]
)
def test_other_bodies_are_refused(client: TestClient, body: bytes) -> None:
    assert refusal(client.post("/doods/detect", content=body))


def test_too_large_bodies_and_images_are_refused(toy_package: Package) -> None:
    limits = {"max_body": 100_000, "max_image_bytes": 10}
    with serving(Repository(toy_package.path.parents[1]), **limits) as client:
        assert refusal(post(client, data="A" * 200_000), 413)
        assert refusal(post(client), 413)


def test_model_named_default_comes_before_the_default_model(repository: Repository, publish: Publish) -> None:
    publish("ants")
    publish("default")
    with serving(repository, open_fake_engine, default_model="ants") as client:
        detectors = client.get("/doods/detectors").json()["detectors"]
        assert [(d["name"], d["model"]) for d in detectors] == [("default", "default@1"), ("ants", "ants@1")]


def test_without_a_default_model_a_name_is_needed(repository: Repository, publish: Publish) -> None:
    publish("ants")
    publish("bees")
    with serving(repository, open_fake_engine) as client:
        assert "expected one of ants, bees" in refusal(post(client))
        assert post(client, detector_name="bees").status_code == 200


def test_key_is_accepted_in_the_header_of_the_protocol(toy_package: Package, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "home", ("detect",))
    with serving(Repository(toy_package.path.parents[1]), keys=tmp_path / "keys.json") as client:
        for headers in ({}, {"doods-auth-key": "wrong"}):
            assert refusal(client.get("/doods/detectors", headers=headers), 401)
        for headers in ({"doods-auth-key": key}, {"Authorization": f"Bearer {key}"}):
            assert client.get("/doods/detectors", headers=headers).status_code == 200
        assert client.get("/models", headers={"doods-auth-key": key}).status_code == 401
