"""POST /detect: results, order of checks, disconnects, the drawn image."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from model_zoo.contract import pipeline
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.open import open_engine
from service.api.native.schemas import DetectAnswer
from tests.service.app_client import RawRequest, check_problem, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import GatedEngines


def test_response_equals_the_pipeline(client: TestClient, toy_package: Package) -> None:
    image = flat(200, 250, 50, (48, 96))
    answer = detect(client, png(image), model="toy", score=0.4, iou=0.5, nms="iou").json()
    card = toy_package.card
    query = pipeline.make_query(card, score=0.4, iou=0.5, distance_weight=0)
    expected = pipeline.detect(card, open_engine(toy_package).run, [image], query)[0]
    assert len(expected) == 2
    assert (expected.boxes[:, 3] > expected.boxes[:, 1]).all()
    assert answer["model"] == {"name": "toy", "version": 1}
    assert answer["results"] == [
        {"file": "0.png", "image": {"width": 96, "height": 48}, "detections": expected.to_dict(card.class_names)}
    ]
    assert list(answer["timing_ms"]) == ["decode", "queue", "infer", "total"]


def test_response_bytes_are_the_json_of_the_schema(client: TestClient) -> None:
    response = detect(client, png(flat(200, 150)), b"GIF89a", score=0.1)
    assert response.headers["content-type"] == "application/json"
    answer = DetectAnswer.model_validate_json(response.content)
    assert json.dumps(response.json()) == json.dumps(answer.model_dump(exclude_unset=True))
    assert [list(result) for result in response.json()["results"]] == [
        ["file", "image", "detections"],
        ["file", "error"],
    ]
    assert list(response.json()["results"][0]["detections"][0]) == ["box", "score", "class_id", "label"]
    assert list(response.json()["results"][1]["error"]) == ["type", "title", "status", "detail", "request_id"]


def test_scores_are_plain_json_numbers(client: TestClient) -> None:
    text = detect(client, png(flat(255, 255, 255))).text
    assert "NaN" not in text
    assert json.loads(text)["results"][0]["detections"][0]["score"] == 1.0


def test_classes_and_max_detections_filter_results(client: TestClient) -> None:
    image = png(flat(200, 150, 100))
    labels = [
        [d["label"] for d in detect(client, image, score=0.1, **query).json()["results"][0]["detections"]]
        for query in ({}, {"classes": "green,2"}, {"classes": ["blue", "red"]}, {"max_detections": 1})
    ]
    assert labels == [["red", "green", "blue"], ["green", "blue"], ["red", "blue"], ["red"]]


def test_iou_and_nms_reach_the_graph(client: TestClient) -> None:
    image = png(flat(200, 200))
    bottoms = [
        detect(client, image, **query).json()["results"][0]["detections"][0]["box"][3]
        for query in ({"iou": 0.0, "nms": "iou"}, {"iou": 0.8, "nms": "iou"}, {"iou": 0.8, "nms": "diou"}, {"iou": 0.8})
    ]
    assert np.allclose(np.diff(bottoms), [0.8 / 8, 1 / 8, 0], atol=2e-3)


def test_bad_file_among_several_has_its_own_error(client: TestClient) -> None:
    first_image, last_image = png(flat(200)), png(flat(0, 255))
    response = detect(client, first_image, b"GIF89a nonsense", last_image)
    assert response.status_code == 200
    first, bad, last = response.json()["results"]
    assert first["detections"] == detect(client, first_image).json()["results"][0]["detections"]
    assert last["detections"] == detect(client, last_image).json()["results"][0]["detections"]
    assert first["detections"] != last["detections"]
    assert (bad["file"], bad["error"]["status"], "detections" in bad) == ("1.png", 415, False)


def test_several_bad_files_are_answered_one_by_one(client: TestClient) -> None:
    response = detect(client, b"one", b"two")
    assert [result["error"]["title"] for result in response.json()["results"]] == ["Unsupported image"] * 2
    assert response.json()["timing_ms"]["infer"] == 0


def test_single_bad_file_fails_the_request(client: TestClient) -> None:
    assert "JPEG" in check_problem(detect(client, b"hello"), 415, "Unsupported image")
    assert check_problem(detect(client, png(flat(1))[:60]), 422, "Image unreadable")


def test_images_above_the_limits_are_refused(repository: Repository, toy: Package) -> None:
    assert toy
    with serving(repository, max_image_pixels=4096, max_image_bytes=5000) as client:
        assert detect(client, png(flat(9))).status_code == 200
        check_problem(detect(client, png(flat(9, size=(64, 65)))), 413, "Image too large")


@pytest.mark.parametrize("size", [(1, 65_501), (65_535, 2)])
def test_image_that_jpeg_cannot_hold_is_refused_drawn_only(client: TestClient, size: tuple[int, int]) -> None:
    image = png(flat(9, size=size))
    assert detect(client, image).status_code == 200
    response = client.post("/detect", files={"file": image}, headers={"Accept": "image/jpeg"})
    assert f"got {size[1]:,} x {size[0]:,}" in check_problem(response, 413, "Image too large")


def test_accept_jpeg_returns_the_drawn_image(client: TestClient) -> None:
    image = flat(0, 255, size=(120, 200))
    response = client.post("/detect", files={"file": png(image)}, headers={"Accept": "image/jpeg"})
    assert response.headers["content-type"] == "image/jpeg"
    drawn = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert drawn.shape == image.shape
    assert np.abs(drawn.astype(int) - image).max() > 100, "nothing was drawn"


def test_accept_jpeg_needs_one_good_file(client: TestClient) -> None:
    jpeg = {"Accept": "image/jpeg"}
    two = client.post("/detect", files=[("file", png(flat(9)))] * 2, headers=jpeg)
    assert "one file" in check_problem(two, 400, "Bad request")
    bad = client.post("/detect", files={"file": b"no image"}, headers=jpeg)
    check_problem(bad, 415, "Unsupported image")


def test_accept_of_another_type_is_refused(client: TestClient) -> None:
    response = client.post("/detect", files={"file": png(flat(9))}, headers={"Accept": "text/html"})
    check_problem(response, 406, "Not acceptable")


def test_model_is_selected_by_version_or_alias(repository: Repository, toy: Package) -> None:
    repository.set_alias("toy", "best", toy.version)
    with serving(repository) as client:
        for reference in ("toy", "toy@1", "toy@latest", "toy@best"):
            assert detect(client, png(flat(9)), model=reference).json()["model"] == {"name": "toy", "version": 1}


@pytest.mark.parametrize("reference", ["toy@2", "toy@", "yolo", "../toy", "toy@1@1", "\0"])
def test_unknown_model_is_refused(client: TestClient, reference: str) -> None:
    check_problem(detect(client, png(flat(9)), model=reference), 404, "No such model")


@pytest.mark.parametrize(
    ("query", "status"), [("model=unknown", 404), ("model=toy@7", 404), ("score=2", 422), ("scor=0.5", 422)]
)
def test_model_and_query_are_checked_before_the_body_is_read(client: TestClient, query: str, status: int) -> None:
    request = RawRequest(client, b"x" * 1000, query=query, length=1 << 40)
    assert request.run() == status
    assert request.reads == 0


def test_unusable_model_is_refused_before_the_body_is_read(repository: Repository, publish: Publish) -> None:
    publish()
    publish().model_path.unlink()
    with serving(repository, GatedEngines(), ready=False) as client:
        wait_until(lambda: client.app_state["service"].store.catalog)
        request = RawRequest(client, b"x" * 1000, query="model=toy@2")
        assert request.run() == 409
        assert request.reads == 0


def test_model_that_is_not_loaded_yet_is_refused_before_the_body_is_read(repository: Repository) -> None:
    with serving(repository, ready=False, poll=1000) as client:
        store = client.app_state["service"].store
        wait_until(lambda: store.catalog)
        store.catalog = None  # as before the first refresh
        request = RawRequest(client, b"x" * 1000)
        assert request.run() == 503
        assert request.reads == 0


def test_request_that_would_wait_too_long_is_refused_before_the_body_is_read(
    repository: Repository, publish: Publish
) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, workers=1, warm_up=False) as client, ThreadPoolExecutor(1) as pool:
        model = next(iter(client.app_state["service"].store._models.values()))
        model.admission.record(100.0)
        accepted = pool.submit(detect, client, png(flat(1)))
        wait_until(lambda: engines.started)
        request = RawRequest(client, b"x" * 1000)
        assert request.run() == 503
        assert request.reads == 0
        assert json.loads(request.sent[1]["body"])["title"] == "Wait too long"
        seconds = int(dict(request.sent[0]["headers"])[b"retry-after"])
        assert 70 < seconds <= 81  # 100 s of work, a margin of a tenth, and a timeout of 30 s
        engines.gate.set()
        assert accepted.result().status_code == 200
        assert detect(client, png(flat(2))).status_code == 200  # the model is idle


def test_request_for_a_full_queue_is_refused_before_the_body_is_read(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    settings = {"queue_size": 1, "max_files": 1, "workers": 1, "warm_up": False}
    with serving(repository, engines, **settings) as client, ThreadPoolExecutor(2) as pool:
        model = next(iter(client.app_state["service"].store._models.values()))
        accepted = [pool.submit(detect, client, png(flat(1)))]
        wait_until(lambda: engines.started)
        accepted.append(pool.submit(detect, client, png(flat(2))))
        wait_until(lambda: model.waiting)
        request = RawRequest(client, b"x" * 1000)
        assert request.run() == 503
        assert request.reads == 0
        assert json.loads(request.sent[1]["body"])["title"] == "Inference queue full"
        engines.gate.set()
        assert [answer.result().status_code for answer in accepted] == [200, 200]
        assert detect(client, png(flat(3))).status_code == 200


def test_disconnected_request_does_not_run(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, workers=1, warm_up=False) as client, ThreadPoolExecutor(1) as pool:
        connected = pool.submit(detect, client, png(flat(1)))
        wait_until(lambda: engines.started)
        assert RawRequest(client, png(flat(2))).run() == 400
        engines.gate.set()
        assert connected.result().status_code == 200
        assert detect(client, png(flat(3))).status_code == 200
        assert engines.batches == [1, 1]
