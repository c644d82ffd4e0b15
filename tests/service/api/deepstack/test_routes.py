"""DeepStack and CodeProject.AI, as Frigate, HASS-Deepstack and clients in C# call them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions, Outputs
from service.access.key_file import add_key
from service.api.deepstack.routes import router
from tests.service.app_client import detect, png, serving
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import POISON, FakeEngine, open_fake_engine
from tests.tiny_onnx import toy_card

DETECTION = "/v1/vision/detection"
IMAGE = png(flat(200, 120, 30))
# The toy model's answer: scores are the means of the channels.
RED = {"label": "red", "confidence": 0.784314, "x_min": 25, "y_min": 15, "x_max": 26, "y_max": 18}
GREEN = RED | {"label": "green", "confidence": 0.470588}
BLUE = RED | {"label": "blue", "confidence": 0.117647}


def post(client: TestClient, image: bytes = IMAGE, path: str = DETECTION, **fields: str) -> Response:
    return client.post(path, files={"image": ("image", image)}, data=fields)


def refusal(response: Response, status: int) -> str:
    """Check that a response is an error that clients can read, and return its reason."""
    body = response.json()
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert body["success"] is False
    return str(body["error"])


def test_answer_has_all_members_of_both_servers(client: TestClient) -> None:
    answer = post(client).json()
    assert answer.pop("predictions") == [RED, GREEN]
    times = [answer.pop(name) for name in ("inferenceMs", "processMs", "analysisRoundTripMs")]
    assert {type(time) for time in times} == {int}
    assert 0 <= times[0] <= times[1] <= times[2] <= 1000 * answer.pop("duration") + 1
    assert answer == {
        "success": True,
        "message": "2 objects found",
        "count": 2,
        "moduleId": "YOLO Lineage",
        "command": "detect",
        "executionProvider": "CPU",
        "canUseGPU": False,
    }


def test_boxes_are_those_of_detect_rounded(client: TestClient) -> None:
    image = png(flat(250, 130, 90, size=(200, 90)))
    native = detect(client, image, score=0.3).json()["results"][0]["detections"]
    predictions = post(client, image, min_confidence="0.3").json()["predictions"]
    assert len(native) == 3
    for expected, found in zip(native, predictions, strict=True):
        corners = [found[name] for name in ("x_min", "y_min", "x_max", "y_max")]
        assert {type(corner) for corner in corners} == {int}
        np.testing.assert_allclose(corners, expected["box"], atol=0.5)
        assert (found["label"], found["confidence"]) == (expected["label"], expected["score"])


def part(name: str, value: bytes, head: str = "") -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{head}\r\n\r\n'.encode() + value + b"\r\n"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([part("image", IMAGE)], [RED, GREEN]),
        ([part("image", IMAGE, '; filename="image"'), part("api_key", b"")], [RED, GREEN]),
        ([part("image", IMAGE), part("min_confidence", b"0.5")], [RED]),
        (
            [part("min_confidence", b"0.1"), part("x", b"1"), part("image", IMAGE, "\r\nContent-Type: x")],
            [RED, GREEN, BLUE],
        ),
        ([part("upload", IMAGE, '; filename="a.png"'), part("min_confidence", b"0.79")], []),
        ([part("image", IMAGE), part("min_confidence", b"0")], [RED, GREEN, BLUE]),
    ],
)
def test_order_types_and_other_parts_do_not_matter(
    client: TestClient, parts: list[bytes], expected: list[dict[str, object]]
) -> None:
    body, kind = b"".join([*parts, b"--B--\r\n"]), "multipart/form-data; boundary=B"
    answer = client.post(DETECTION, content=body, headers={"Content-Type": kind, "Accept": "text/html"}).json()
    assert (answer["predictions"], answer["count"]) == (expected, len(expected))


def test_custom_model_is_named_in_the_address(client: TestClient) -> None:
    for reference in ("toy", "toy@1", "toy@latest"):
        answer = post(client, path=f"/v1/vision/custom/{reference}").json()
        assert (answer["predictions"], answer["command"]) == ([RED, GREEN], "custom")
    assert "available: toy" in refusal(post(client, path="/v1/vision/custom/none"), 404)


def test_models_are_listed_for_an_empty_body(client: TestClient) -> None:
    assert client.post("/v1/vision/custom/list").json() == {"success": True, "models": ["toy"]}


def test_status_addresses(client: TestClient) -> None:
    for path in ("/v1/status/ping", "/v1/server/status/ping"):
        assert client.get(path).json() == {"success": True}
    answer = client.get("/v1/status/updateavailable").json()
    expected = {"preRelease": "", "securityUpdate": False, "build": 0, "file": "", "releaseNotes": ""}
    assert (
        answer["current"]
        == answer["latest"]
        == expected | {name: answer["current"][name] for name in ("major", "minor", "patch")}
    )
    others = {name: value for name, value in answer.items() if name not in ("current", "latest")}
    assert others == {"success": True, "message": "", "version": None, "updateAvailable": False}


def test_errors_are_objects_with_success_false(client: TestClient) -> None:
    assert "got parts: none" in refusal(client.post(DETECTION), 400)
    assert "got parts: none" in refusal(
        client.post(DETECTION, content=IMAGE, headers={"Content-Type": "image/png"}), 400
    )
    assert "got parts: 'api_key'" in refusal(client.post(DETECTION, files={"api_key": (None, b"")}), 400)
    assert "expected a JPEG, PNG, WebP, TIFF or BMP image" in refusal(post(client, b"no image"), 400)
    assert refusal(post(client, IMAGE[:60]), 400)
    assert "min_confidence: expected a number" in refusal(post(client, min_confidence="high"), 400)
    cut = client.post(
        DETECTION, content=part("image", IMAGE), headers={"Content-Type": "multipart/form-data; boundary=B"}
    )
    assert "cut short" in refusal(cut, 400)
    assert "boundary" in refusal(client.post(DETECTION, content=b"", headers={"Content-Type": "multipart/x"}), 400)
    assert "expected POST" in refusal(client.get(DETECTION), 405)
    assert "no such address" in refusal(client.post("/v1/vision/face"), 404)


def test_limits_and_faults_are_objects_too(repository: Repository, publish: Publish) -> None:
    publish()
    limits = {"max_body": 50_000, "rate_per_address": 0.001, "rate_burst": 3}
    with serving(repository, open_fake_engine, **limits) as client:
        assert refusal(post(client, bytes(60_000)), 413)
        assert refusal(post(client, png(flat(POISON))), 500).startswith("internal error")
        assert post(client).status_code == 200
        assert "too many requests of one address" in refusal(post(client), 429)


class CrowdEngine(FakeEngine):
    """Returns 30 detections, best first."""

    def run(self, feeds: Feeds) -> Outputs:
        rows = np.tile(np.asarray([1, 2, 30, 40, 0, 0], dtype=np.float32), (len(feeds["images"]), 30, 1))
        rows[..., 4] = np.linspace(0.99, 0.5, 30)
        return rows, np.full(len(rows), 30, dtype=np.int32)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "model.onnx").write_bytes(b"model")
    repository = Repository(tmp_path / "models")
    repository.publish(toy_card(candidates=128, max_detections=100), {"model.onnx": tmp_path / "model.onnx"})

    def open_crowd(package: Package, _: EngineOptions) -> CrowdEngine:
        return CrowdEngine(package.card)

    with serving(repository, open_crowd) as client:
        yield client


def frigate_loop(client: TestClient, labels: dict[str, int]) -> np.ndarray:
    """Do as Frigate's detector of type deepstack: JPEG as `image`, an api_key, 20 rows, no look at `success`."""
    rows = np.zeros((20, 6), np.float32)
    answer = client.post(DETECTION, files={"image": ("image", IMAGE)}, data={"api_key": ""}).json()
    for index, found in enumerate(answer["predictions"]):
        if found["confidence"] < 0.4 or found["label"].lower() not in labels:
            break
        edges = [found[name] / 64 for name in ("y_min", "x_min", "y_max", "x_max")]
        rows[index] = [labels[found["label"].lower()], found["confidence"], *edges]  # IndexError ends its process
    return rows


def test_frigate_gets_20_predictions_of_a_crowd(crowd: TestClient) -> None:
    rows = frigate_loop(crowd, {"red": 7})
    assert (rows[:, 0] == 7).all()
    assert (np.diff(rows[:, 1]) < 0).all()
    assert len(post(crowd, min_confidence="0.4").json()["predictions"]) == 30


def test_frigate_gets_nothing_lost_by_order(client: TestClient) -> None:
    rows = frigate_loop(client, {"red": 1, "green": 2})
    assert rows[:, 0].tolist() == [1, 2, *[0] * 18]


def test_without_a_default_model_the_reason_is_returned(repository: Repository, publish: Publish) -> None:
    publish("ants")
    publish("bees")
    with serving(repository, open_fake_engine) as client:
        reason = refusal(post(client), 404)
        assert "expected one of ants, bees; got none, and there is no default model; set --default-model" in reason
        assert post(client, path="/v1/vision/custom/bees").status_code == 200
        assert client.post("/v1/vision/custom/list").json()["models"] == ["ants", "bees"]


@pytest.fixture
def guarded(toy_package: Package, tmp_path: Path) -> Iterator[tuple[TestClient, str]]:
    key = add_key(tmp_path / "keys.json", "camera", ("detect",))
    with serving(Repository(toy_package.path.parents[1]), keys=tmp_path / "keys.json") as client:
        yield client, key


def test_no_address_is_open_without_a_key(guarded: tuple[TestClient, str]) -> None:
    client, key = guarded
    for route in router.routes:
        path, method = route.path.replace("{model}", "toy"), min(route.methods)  # type: ignore[attr-defined]
        assert "the part api_key" in refusal(client.request(method, path), 401)
        for token in ("", "lineage_wrong"):
            answer = client.request(method, path, files={"image": ("image", IMAGE)}, data={"api_key": token})
            assert refusal(answer, 401)
        assert refusal(client.request(method, path, headers={"X-Api-Key": "wrong"}), 401)
        files = {"image": ("image", IMAGE)} if method == "POST" else None
        assert client.request(method, path, files=files, headers={"X-Api-Key": key}).status_code == 200


def test_key_in_the_body_is_accepted_before_or_after_the_image(guarded: tuple[TestClient, str]) -> None:
    client, key = guarded
    parts = [part("image", IMAGE), part("api_key", key.encode())]
    for ordered in (parts, parts[::-1]):
        kind = {"Content-Type": "multipart/form-data; boundary=B"}
        answer = client.post(DETECTION, content=b"".join([*ordered, b"--B--\r\n"]), headers=kind)
        assert answer.json()["count"] == 2


def test_requests_without_a_key_do_not_learn_which_models_exist(guarded: tuple[TestClient, str]) -> None:
    assert "API key" in refusal(post(guarded[0], path="/v1/vision/custom/none"), 401)


def test_metrics_name_the_protocol(client: TestClient) -> None:
    post(client)
    assert 'protocol="deepstack",version="1"' in client.get("/metrics").text
