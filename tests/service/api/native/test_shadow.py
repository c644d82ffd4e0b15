"""GET /shadow/report and /shadow/images: what shadow versions detect that the answers do not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Rollout, Shadow
from model_zoo.contract.set_rollout import set_rollout
from tests.repositories import Publish
from tests.service.app_client import check_problem, detect, png, serving, wait_until
from tests.service.conftest import flat
from tests.service.fake_engine import open_fake_engine
from tests.tiny_onnx import toy_card

NONE = {"same": 0, "moved": 0, "rescored": 0, "lost": 0, "found": 0}


@pytest.fixture
def cars(repository: Repository, publish: Publish) -> Repository:
    """`cars` with two versions, whose first class has another name in the second one."""
    publish("cars")
    card = replace(toy_card("cars"), class_names=("crimson", "green", "blue"))
    repository.publish(card, {"model.onnx": repository.root / "cars" / "1" / "model.onnx"})
    set_rollout(repository, "cars", Rollout("1", shadow=Shadow("2")))
    return repository


def compared(client: TestClient, count: int) -> bool:
    comparisons = client.get("/shadow/report").json()["comparisons"]
    return bool(comparisons) and comparisons[0]["images"]["compared"] == count


def test_report_has_the_differences_and_the_images(cars: Repository) -> None:
    with serving(cars, open_fake_engine, shadow_images=1) as client:
        answer = detect(client, png(flat(7)), png(flat(9)))
        assert answer.json()["model"] == {"name": "cars", "version": 1}
        wait_until(lambda: compared(client, 2))
        report = client.get("/shadow/report").json()
        (comparison,) = report["comparisons"]
        assert comparison["differences"] == NONE | {"lost": 2, "found": 2}
        assert comparison["labels"] == {"crimson": NONE | {"found": 2}, "red": NONE | {"lost": 2}}
        assert (comparison["model"], comparison["primary"], comparison["shadow"]) == ("cars", 1, 2)
        assert comparison["images"] == {"compared": 2, "dropped": 0, "failed": 0}
        wait_until(lambda: client.get("/shadow/report").json()["images"])
        (image,) = client.get("/shadow/report").json()["images"]
        jpeg = client.get(f"/shadow/images/{image['number']}")
        assert jpeg.headers["content-type"] == "image/jpeg"
        assert cv2.imdecode(np.frombuffer(jpeg.content, np.uint8), cv2.IMREAD_COLOR).shape == (64, 136, 3)
        assert "image 99 is not kept" in check_problem(client.get("/shadow/images/99"), 404, "Not Found")
        check_problem(client.get("/shadow/images/x"), 422, "Query not understood")


def test_no_image_is_kept_by_default(cars: Repository) -> None:
    with serving(cars, open_fake_engine) as client:
        detect(client, png(flat(7)))
        wait_until(lambda: compared(client, 1))
        report = client.get("/shadow/report").json()
        assert (report["images"], report["max_images"]) == ([], 0)
        check_problem(client.get("/shadow/images/1"), 404, "Not Found")


def test_report_without_a_policy_is_empty(client: TestClient) -> None:
    report = client.get("/shadow/report").json()
    assert (report["comparisons"], report["images"], report["waiting"]) == ([], [], 0)
    assert report["limits"] == {"match_iou": 0.5, "same_iou": 0.95, "same_score": 0.05}
    page = client.get("/shadow")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
