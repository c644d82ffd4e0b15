"""The machine learning backend for Label Studio: what it sends, and what it gets."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from tests.service.api.labelstudio.file_host import FileHost
from tests.service.app_client import detect, png, serving
from tests.service.conftest import flat

IMAGE = png(flat(250, 100, 20, (32, 64)))
DATA = "data:image/png;base64," + base64.b64encode(IMAGE).decode()
CONFIG = """<View>
  <Image name="photo" value="$picture"/>
  <RectangleLabels name="boxes" toName="photo" {options}>
    <Label value="Rouge" predicted_values="red"/><Label value="Green"/>
  </RectangleLabels>
</View>"""
EMPTY = {"model_version": "toy@1", "score": 0.0, "result": []}


def predict(client: TestClient, *images: object, options: str = "", **members: object) -> list[dict[str, Any]]:
    """POST tasks as Label Studio does, and return the results."""
    tasks = [{"id": number, "data": {"picture": image}, "annotations": []} for number, image in enumerate(images)]
    document = {"tasks": tasks, "label_config": CONFIG.format(options=options), "project": "1.17", "params": {}}
    answer = client.post("/label-studio/predict", json=document | members)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def test_regions_are_per_cent_of_the_image_with_labels_of_the_project(client: TestClient) -> None:
    found = detect(client, IMAGE, score=0.05).json()["results"][0]["detections"]
    (prediction,) = predict(client, DATA, options='model_score_threshold="0.05"')
    assert prediction["model_version"] == "toy@1"
    assert [region["value"]["rectanglelabels"] for region in prediction["result"]] == [["Rouge"], ["Green"]]
    for region, expected in zip(prediction["result"], found, strict=False):  # blue is no label of the project
        left, top, right, bottom = expected["box"]
        value = region["value"]
        assert (value["x"], value["y"]) == pytest.approx((100 * left / 64, 100 * top / 32), abs=1e-5)
        size = (100 * (right - left) / 64, 100 * (bottom - top) / 32)
        assert (value["width"], value["height"]) == pytest.approx(size, abs=1e-5)
        assert region["score"] == expected["score"]
        assert (region["from_name"], region["to_name"], region["type"]) == ("boxes", "photo", "rectanglelabels")
        assert (region["original_width"], region["original_height"], region["image_rotation"]) == (64, 32, 0)
    assert prediction["score"] == pytest.approx((found[0]["score"] + found[1]["score"]) / 2, abs=1e-6)


def test_every_task_has_a_result(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """More tasks than images per request, with unusable ones in between."""
    images = [DATA if number % 3 else f"/data/upload/{number}.png" for number in range(70)]
    results = predict(client, *images)
    assert [bool(result["result"]) for result in results] == [bool(number % 3) for number in range(70)]
    assert results[0] == EMPTY
    assert (
        "no prediction for task 0: '/data/upload/0.png': to fetch images from Label Studio, set label_studio_url"
        in (caplog.text)
    )


@pytest.mark.parametrize("image", [None, 5, "", "http://127.0.0.1:9/a.png", "data:image/png;base64,bm9uZQ=="])
def test_task_without_a_usable_image_has_an_empty_result(client: TestClient, image: object) -> None:
    assert predict(client, image) == [EMPTY]


@pytest.mark.parametrize("task", [{}, {"data": None}, {"data": []}, {"data": {"other": DATA}}])
def test_task_of_another_form_has_an_empty_result(client: TestClient, task: dict[str, Any]) -> None:
    assert predict(client, tasks=[task]) == [EMPTY]


@pytest.mark.parametrize("config", [None, "", "<View/>", '<View><Text name="t" value="$t"/></View>'])
def test_project_without_boxes_gets_empty_results(
    client: TestClient, config: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("service.api.labelstudio.routes").filters.clear()
    assert predict(client, DATA, label_config=config) == [EMPTY]
    assert "the project has no <RectangleLabels> for an <Image>" in caplog.text


def test_project_without_labels_of_the_model_gets_empty_regions(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    config = CONFIG.format(options="").replace("red", "car").replace("Green", "bus")
    assert predict(client, DATA, label_config=config) == [EMPTY]
    assert "no class of toy@1 is a label of the project" in caplog.text


def test_no_tasks_give_no_results(client: TestClient) -> None:
    assert predict(client) == []


def test_project_connects_and_learns_the_model(client: TestClient) -> None:
    body = {"project": "1.17", "hostname": "http://localhost:8080", "access_token": "t", "extra_params": None}
    for schema in (CONFIG.format(options='model="toy@latest"'), "<View></View>", None):
        answer = client.post("/label-studio/setup", json=body | {"schema": schema})
        assert answer.json() == {"model_version": "toy@1"}
    assert client.get("/label-studio/health").json()["status"] == "UP"
    assert client.get("/label-studio/versions").json() == {"versions": ["toy@1"]}
    assert client.post("/label-studio/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 200


def test_mistakes_are_explained(client: TestClient) -> None:
    config = CONFIG.format(options='model="gone"')
    for path, body in (("setup", {"schema": config}), ("predict", {"tasks": [], "label_config": config})):
        answer = client.post(f"/label-studio/{path}", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
        assert "no model 'gone'" in answer.json()["detail"]
    for body in (b"", b"[]", b'{"tasks": 5}', b'{"tasks": ["x"]}', b'{"label_config": "<View>"}', b"[" * 100_000):
        assert client.post("/label-studio/predict", content=body).status_code == 400


def test_images_of_label_studio_are_fetched(toy_package: Package, tmp_path: Path, host: FileHost) -> None:
    (tmp_path / "token").write_text("secret")
    host.files, host.authorized = {"/data/upload/1/a.png": IMAGE, "/text": b"no image"}, "Token secret"
    settings = {"label_studio_url": host.origin, "label_studio_token": tmp_path / "token"}
    with serving(Repository(toy_package.path.parents[1]), **settings) as client:
        fetched, missing, text = predict(client, "/data/upload/1/a.png", "/gone.png", f"{host.origin}/text")
        assert len(fetched["result"]) == 2
        assert (missing, text) == (EMPTY, EMPTY)


@pytest.fixture
def guarded(toy_package: Package, tmp_path: Path) -> Iterator[tuple[TestClient, str]]:
    """A client of a server with keys, and a key."""
    key = add_key(tmp_path / "keys.json", "labels", ("detect",))
    with serving(Repository(toy_package.path.parents[1]), keys=tmp_path / "keys.json") as client:
        yield client, key


def test_key_is_the_password_of_basic_authentication(guarded: tuple[TestClient, str]) -> None:
    client, key = guarded
    assert client.get("/label-studio/health").status_code == 200
    calls = [("GET", "versions"), ("POST", "setup"), ("POST", "predict"), ("POST", "webhook")]
    for method, path in calls:
        address, body = f"/label-studio/{path}", None if method == "GET" else {}
        assert client.request(method, address, json=body).status_code == 401
        assert client.request(method, address, json=body, auth=("any", key)).status_code == 200
        for auth in (("any", "wrong"), (key, "")):
            assert client.request(method, address, json=body, auth=auth).status_code == 401
    broken = {"Authorization": "Basic \xff"}
    encoded = {name: value.encode("latin-1") for name, value in broken.items()}
    assert client.get("/label-studio/versions", headers=encoded).status_code == 401
    assert client.get("/models", auth=("any", key)).status_code == 401
