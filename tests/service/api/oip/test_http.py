"""/v2 over HTTP: inferences, and the answers that other clients of the protocol read."""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import preprocess
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, HeaderMatch, Rollout
from model_zoo.contract.set_rollout import set_rollout
from service.access.key_file import add_key
from tests.service.api.oip.wire import HEADER, INFER, binary, error, infer, infer_json, outputs
from tests.service.app_client import RawRequest, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import GatedEngines, open_fake_engine
from tests.service.faulty_engines import FaultyEngines

IMAGES = [flat(200, 250, 50, (48, 96)), flat(90, 10, 130)]
FILES = [png(image) for image in IMAGES]


def boxes(client: TestClient, *files: bytes, **query: object) -> list[list[list[float]]]:
    results = detect(client, *files, **query).json()["results"]
    return [[[*d["box"], d["score"], d["class_id"]] for d in result["detections"]] for result in results]


@pytest.mark.parametrize("name", ["image", "images"])
def test_files_are_answered_as_by_detect(client: TestClient, name: str) -> None:
    thresholds = {"score_threshold": [0.3], "iou_threshold": [0.5, 0.7], "distance_weight": [0.0]}
    tensors = {name: FILES, **{key: np.array(value, np.float32) for key, value in thresholds.items()}}
    found = outputs(infer(client, tensors))
    expected = [
        boxes(client, file, score=0.3, iou=iou, nms="iou")[0] for file, iou in zip(FILES, (0.5, 0.7), strict=True)
    ]
    assert list(found) == ["detections", "count"]
    assert found["count"].tolist() == [len(rows) for rows in expected] == [3, 2]
    for rows, answered in zip(expected, found["detections"], strict=True):
        np.testing.assert_allclose(answered[: len(rows)], rows, atol=1e-3)


def test_rows_are_trimmed_to_the_largest_count(client: TestClient) -> None:
    found = outputs(infer(client, {"image": [png(flat(255)), png(flat(0))]}))
    assert (found["detections"].shape, found["count"].tolist()) == ((2, 1, 6), [1, 0])
    assert not found["detections"][1].any()
    none = outputs(infer(client, {"image": [png(flat(0))]}, parameters={"binary_data_output": True}))
    assert (none["detections"].shape, none["count"].tolist()) == ((1, 0, 6), [0])


def test_tensors_are_answered_in_canvas_pixels(client: TestClient, toy_package: Package) -> None:
    canvases = np.stack([preprocess(toy_package.card, image).pixels for image in IMAGES])
    found = outputs(infer(client, {"images": canvases}))
    again = outputs(
        infer_json(client, {"name": "images", "datatype": "UINT8", "shape": canvases.shape, "data": canvases.tolist()})
    )
    mean = canvases[0].mean(axis=(0, 1))
    assert found["detections"][0, 0, :2] == pytest.approx([mean[0] / 8, mean[1] / 8], abs=1e-3)
    np.testing.assert_array_equal(found["detections"], again["detections"])


def test_json_of_one_file(client: TestClient) -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(FILES[0]).decode()]}
    response = infer_json(client, image, id="a", model_name="toy")
    assert HEADER not in response.headers
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert [answer["model_name"], answer["model_version"], answer["id"]] == ["toy", "1", "a"]
    np.testing.assert_allclose(outputs(response)["detections"], boxes(client, FILES[0]), atol=1e-3)
    assert response.headers["server-timing"].startswith("receive;dur=")


@pytest.mark.parametrize("names", [["count"], ["count", "detections"]])
def test_only_named_outputs_are_answered_in_their_order(client: TestClient, names: list[str]) -> None:
    asked = [{"name": name, "parameters": {"binary_data": True}} for name in names]
    assert list(outputs(infer(client, {"image": FILES[:1]}, outputs=asked))) == names


def test_a_version_or_alias_can_be_named(client: TestClient) -> None:
    for version in ("1", "latest"):
        response = infer(client, {"image": FILES[:1]}, f"/v2/models/toy/versions/{version}/infer")
        assert response.json()["model_version"] == "1"


@pytest.mark.parametrize(
    ("tensors", "members", "status", "reason"),
    [
        ({}, {}, 400, r"expected one of the inputs image \(BYTES \[N\], files\) and images .*; got neither"),
        ({"image": FILES, "images": FILES}, {}, 400, "got both"),
        ({"frame": FILES}, {}, 400, "'frame' is unknown; expected image, images, score_threshold, iou_threshold"),
        ({"images": np.zeros((1, 3, 64, 64), np.uint8)}, {}, 400, r"got images \(UINT8 \[1, 3, 64, 64\]\)"),
        ({"images": np.zeros((1, 64, 64, 3), np.float32)}, {}, 400, r"got images \(FP32 \[1, 64, 64, 3\]\)"),
        ({"image": np.zeros((1, 64, 64, 3), np.uint8)}, {}, 400, r"got image \(UINT8 "),
        ({"images": np.zeros((1, 32, 64, 3), np.uint8)}, {}, 400, "expected 64 x 64 pixels .*; got 64 x 32"),
        ({"image": FILES[:1] * 33}, {}, 400, "expected at most 32 images; got 33"),
        ({"image": FILES, "score_threshold": np.zeros(3, np.float32)}, {}, 400, r"FP32 \[2\] or \[1\]; got FP32 \[3\]"),
        ({"image": FILES, "score_threshold": np.zeros(2, np.int32)}, {}, 400, r"got INT32 \[2\]"),
        ({"image": FILES, "score_threshold": np.full(2, 2, np.float32)}, {}, 422, "from 0.001 to 1; got 2"),
        ({"image": FILES, "score_threshold": np.full(2, np.nan, np.float32)}, {}, 422, "got nan"),
        ({"image": [FILES[0], b"GIF89a"]}, {}, 415, r"^image\[1\]: .*GIF"),
        ({"image": FILES}, {"outputs": [{"name": "boxes"}]}, 400, "expected detections or count; got 'boxes'"),
        ({"image": FILES}, {"outputs": [{"name": "count"}] * 2}, 400, "outputs: expected each name once"),
        ({"image": FILES}, {"parameters": {"priority": -1}}, 400, "priority: expected an integer .* got -1"),
        ({"image": FILES}, {"parameters": {"timeout": 0.5}}, 400, "timeout: expected an integer .* got 0.5"),
    ],
)  # fmt: skip
def test_bad_requests_get_one_clear_error(
    client: TestClient, tensors: dict[str, np.ndarray], members: dict[str, object], status: int, reason: str
) -> None:
    text = error(infer(client, tensors, **members), status)
    assert re.search(reason, text), text


def test_unusual_headers(client: TestClient) -> None:
    body, size = binary({"image": FILES[:1]})
    assert len(
        outputs(client.post(INFER, content=body, headers={HEADER: str(size), "Content-Type": "a/b", "Accept": "c/d"}))
    )
    for text in ("x", "-1", "1.0", "9" * 40):
        assert "expected the size of the JSON document" in error(
            client.post(INFER, content=body, headers={HEADER: text}), 400
        )
    assert "expected at most the size of the body" in error(
        client.post(INFER, content=body, headers={HEADER: "9999999"}), 400
    )
    assert "no model 'none'" in error(infer(client, {}, "/v2/models/none/infer"), 404)
    assert "4" in error(infer(client, {}, "/v2/models/toy/versions/4/infer"), 404)
    assert "of , in JSON" in error(client.post(INFER, content=b"{" + b"," * 30_000_000 + b"}"), 400)


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_compressed_requests_and_answers(client: TestClient, name: str) -> None:
    body, size = binary({"image": FILES[:1] * 20}, parameters={"binary_data_output": True})
    packed = gzip.compress(body) if name == "gzip" else zlib.compress(body)
    headers = {HEADER: str(size), "Content-Encoding": name, "Accept-Encoding": name}
    response = client.post(INFER, content=packed, headers=headers)
    assert response.headers["content-encoding"] == name
    plain = client.post(INFER, content=body, headers={HEADER: str(size), "Accept-Encoding": ""})
    assert "content-encoding" not in plain.headers
    assert response.content == plain.content  # decompressed by the client
    assert response.headers[HEADER] == plain.headers[HEADER]
    assert int(response.headers["content-length"]) < len(plain.content)


def test_nothing_else_is_ever_compressed(client: TestClient) -> None:
    headers = {"Accept-Encoding": "gzip, deflate, br"}
    for path in ("", "/health/ready", "/models/toy", "/models/toy/config", "/models/toy/stats", "/models/none"):
        assert "content-encoding" not in client.get(f"/v2{path}", headers=headers).headers
    assert "content-encoding" not in client.post("/v2/repository/index", headers=headers).headers
    error(infer(client, {"image": []}), 400)


def test_bodies_are_bounded_before_and_after_decompression(repository: Repository, publish: Publish) -> None:
    publish()
    with serving(repository, open_fake_engine, max_body=100_000) as client:
        bomb = gzip.compress(b"\0" * 10_000_000)
        assert "100,000 decompressed bytes" in error(
            client.post(INFER, content=bomb, headers={"Content-Encoding": "gzip"}), 413
        )
        assert "100,000 bytes" in error(client.post(INFER, content=b"\0" * 100_001), 413)
        assert "expected gzip or deflate" in error(
            client.post(INFER, content=b"", headers={"Content-Encoding": "br"}), 415
        )
        assert client.app_state["service"].memory.free == client.app_state["service"].settings.max_pending


def test_a_timeout_that_passed_is_504(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, warm_up=False, verify_on_load=False) as client:
        try:
            text = error(infer(client, {"image": FILES[:1]}, parameters={"timeout": 20_000}), 504)
            assert "deadline" in text
        finally:
            engines.gate.set()


def test_health_and_readiness(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/toy/ready").json() == {"name": "toy", "ready": True}
    assert client.get("/v2/models/toy/versions/1/ready").json() == {"name": "toy", "ready": True}
    assert "no model 'none'" in error(client.get("/v2/models/none/ready"), 404)


def test_a_server_without_models_is_not_ready(repository: Repository) -> None:
    with serving(repository, open_fake_engine, ready=False) as client:
        response = client.get("/v2/health/ready")
        assert (response.json()["ready"], response.headers["retry-after"]) == (False, "1")
        assert error(response, 503)
        assert client.get("/v2/health/live").status_code == 200


def test_a_model_that_cannot_be_loaded_is_503(repository: Repository, publish: Publish) -> None:
    publish()
    with serving(repository, FaultyEngines("fails to load"), ready=False, poll=1000) as client:
        while (
            (response := client.get("/v2/models/toy/ready"))
            .json()
            .get("error", "")
            .startswith(("toy@1 is", "the model"))
        ):
            assert response.status_code == 503
        assert (response.json()["name"], response.json()["ready"]) == ("toy", False)
        reason = error(response, 503)
        assert reason in error(infer(client, {"image": FILES[:1]}), 503)
        row = client.post("/v2/repository/index").json()[0]
        assert (row["state"], row["reason"]) == ("UNAVAILABLE", reason)
        assert client.post("/v2/repository/index", content=b'{"ready": true}').json() == []


def test_load_and_unload_need_an_admin_key(repository: Repository, publish: Publish, tmp_path: Path) -> None:
    publish()
    keys = {scope: add_key(tmp_path / "keys.json", scope, (scope,)) for scope in ("admin", "detect")}
    with serving(repository, open_fake_engine, keys=tmp_path / "keys.json", poll=1000) as client:
        address = "/v2/repository/models/toy"
        assert error(client.post(f"{address}/unload"), 401)
        assert error(client.get("/v2/models/toy"), 401)
        assert client.get("/v2/health/ready").status_code == 200
        client.headers["Authorization"] = f"Bearer {keys['detect']}"
        assert "scope admin" in error(client.post(f"{address}/unload"), 403)
        assert client.post("/v2/repository/index").json()[0]["state"] == "READY"
        client.headers["Authorization"] = f"Bearer {keys['admin']}"
        assert client.post(f"{address}/unload", content=b'{"parameters": {"unload_dependents": false}}').json() == {}
        client.headers["Authorization"] = f"Bearer {keys['detect']}"
        assert "operator" in error(client.get("/v2/models/toy/ready"), 503)
        assert "operator" in error(infer(client, {"image": FILES[:1]}), 503)
        client.headers["Authorization"] = f"Bearer {keys['admin']}"
        assert "config: is not supported" in error(
            client.post(f"{address}/load", content=b'{"parameters": {"config": "{}"}}'), 400
        )
        assert client.post(f"{address}/load").json() == {}
        assert client.get("/v2/models/toy/ready").status_code == 200
        assert "no model 'none'" in error(client.post("/v2/repository/models/none/load"), 404)


def test_load_without_keys_is_forbidden(client: TestClient) -> None:
    text = error(client.post("/v2/repository/models/toy/load"), 403)
    assert text.startswith("/v2/repository/models needs API keys: start the server with --keys FILE")


def test_unknown_addresses_have_errors_of_the_protocol(client: TestClient) -> None:
    assert "no such address" in error(client.get("/v2/systemsharedmemory/status"), 404)
    assert "expected" in error(client.get(INFER), 405)
    assert "expected" in error(client.post("/v2/repository/index", content=b"[]"), 400)


def test_a_canary_answers_as_itself(repository: Repository, publish: Publish) -> None:
    publish()
    publish()
    canary = Canary("2", header=HeaderMatch("x-canary", "on"))
    set_rollout(repository, "toy", Rollout("1", canary=canary))
    with serving(repository, open_fake_engine) as client:
        body, size = binary({"image": FILES[:1]})
        answers = [
            client.post(INFER, content=body, headers={HEADER: str(size), "X-Canary": on}) for on in ("on", "off")
        ]
        assert [answer.json()["model_version"] for answer in answers] == ["2", "1"]


def test_a_client_that_disconnects_cancels_the_work(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, workers=1, warm_up=False) as client, ThreadPoolExecutor(1) as pool:
        connected = pool.submit(infer, client, {"image": FILES[:1]})
        wait_until(lambda: engines.started)
        body, size = binary({"image": FILES[:1]})
        gone = RawRequest(client, body)
        gone.scope |= {"path": INFER, "headers": [(HEADER.lower().encode(), str(size).encode())]}
        assert gone.run() == 400
        engines.gate.set()
        assert connected.result().status_code == 200
        assert infer(client, {"image": FILES[:1]}).status_code == 200
        assert engines.batches == [1, 1]
