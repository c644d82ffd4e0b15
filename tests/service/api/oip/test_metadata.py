"""Metadata, configuration and index, as clients of the protocol read them."""

from __future__ import annotations

import json
from typing import Any

from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from service.api.oip.metadata import EXTENSIONS
from tests.service.app_client import serving
from tests.service.conftest import Publish
from tests.service.fake_engine import open_fake_engine

THRESHOLDS = ("score_threshold", "iou_threshold", "distance_weight")


def get(client: TestClient, path: str) -> Any:
    response = client.get(f"/v2{path}")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    return response.json()


def test_server(client: TestClient) -> None:
    server = get(client, "")
    assert (server["name"], server["extensions"]) == ("yolo-lineage", [*EXTENSIONS])
    assert isinstance(server["version"], str)


def test_model(client: TestClient) -> None:
    model = get(client, "/models/toy")
    assert model == {
        "name": "toy",
        "versions": ["1"],
        "platform": "yolo-lineage",
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "images", "datatype": "UINT8", "shape": [-1, 64, 64, 3]},
            *({"name": name, "datatype": "FP32", "shape": [-1]} for name in THRESHOLDS),
        ],
        "outputs": [
            {"name": "detections", "datatype": "FP32", "shape": [-1, -1, 6]},
            {"name": "count", "datatype": "INT32", "shape": [-1]},
        ],
    }
    assert get(client, "/models/toy/versions/1") == model


def test_configuration(client: TestClient) -> None:
    config = get(client, "/models/toy/config")
    assert {key: config[key] for key in ("name", "platform", "backend", "max_batch_size")} == {
        "name": "toy",
        "platform": "yolo-lineage",
        "backend": "yolo-lineage",
        "max_batch_size": 0,
    }
    assert config["input"][0] == {"name": "image", "data_type": "TYPE_STRING", "dims": [-1], "optional": True}
    assert config["output"][0] == {"name": "detections", "data_type": "TYPE_FP32", "dims": [-1, -1, 6]}
    parameters = {name: json.loads(value["string_value"]) for name, value in config["parameters"].items()}
    assert parameters["class_names"] == ["red", "green", "blue"]
    assert parameters["letterbox"]["fill"] == 114
    assert parameters["thresholds"]["score"] == 0.25
    assert get(client, "/models/toy/versions/1/config") == config


def test_index_lists_every_version_with_the_default_model_first(repository: Repository, publish: Publish) -> None:
    for name in ("alpha", "omega", "omega"):
        publish(name)
    (repository.root / "omega" / "1" / "card.json").write_text("{}")
    with serving(repository, open_fake_engine, default_model="omega", poll=1000) as client:
        rows = client.post("/v2/repository/index").json()
        assert [(row["name"], row["version"], row["state"]) for row in rows] == [
            ("omega", "2", "READY"),
            ("omega", "1", "UNAVAILABLE"),
            ("alpha", "1", "READY"),
        ]
        assert "card.json" in rows[1]["reason"]
        assert rows[0]["reason"] == ""
        ready = client.post("/v2/repository/index", content=b'{"ready": true}').json()
        assert ready == rows[::2]
        assert client.get("/v2/models/omega/versions/1").status_code == 503
        assert get(client, "/models/omega")["versions"] == ["2"]


def test_a_version_that_is_not_loaded_is_not_ready_and_has_metadata(repository: Repository, publish: Publish) -> None:
    publish()
    publish()
    with serving(repository, open_fake_engine, poll=1000) as client:
        assert get(client, "/models/toy")["versions"] == ["1", "2"]
        assert get(client, "/models/toy/versions/1")["inputs"][1]["shape"] == [-1, 64, 64, 3]
        response = client.get("/v2/models/toy/versions/1/ready")
        assert (response.status_code, response.json()["ready"]) == (503, False)
        assert "toy@1 is not loaded; a load or a request loads it" in response.json()["error"]
