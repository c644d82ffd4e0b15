"""The configuration of Frigate and Home Assistant in documents, compared with the server."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from starlette.testclient import TestClient

from service.settings import Settings
from tests.docs.documents import blocks, commands, text
from tests.service.app_client import png
from tests.service.conftest import client, flat, toy_package

__all__ = ["client", "toy_package"]

FRIGATE = [yaml.safe_load(block) for block in blocks("docs/frigate.md", "yaml")]
HOME_ASSISTANT = [yaml.safe_load(block)["image_processing"][0] for block in blocks("docs/home-assistant.md", "yaml")]


def detectors(kind: str) -> list[dict[str, Any]]:
    found = [detector for config in FRIGATE for detector in config["detectors"].values()]
    return [detector for detector in found if detector["type"] == kind]


def test_every_kind_of_detector_is_documented() -> None:
    assert sorted(d["type"] for config in FRIGATE for d in config["detectors"].values()) == ["deepstack", "zmq"]
    assert [platform["platform"] for platform in HOME_ASSISTANT] == ["doods", "deepstack_object"]


def test_frigate_models_have_the_size_of_the_imported_one() -> None:
    (words,) = [words for document, words in commands("lineage") if document == "frigate.md" and "import" in words]
    side = int(words[words.index("--image-size") + 1])
    assert {(config["model"]["width"], config["model"]["height"]) for config in FRIGATE} == {(side, side)}


def test_frigate_endpoint_is_one_that_the_server_accepts() -> None:
    pytest.importorskip("zmq", reason="needs the extra zmq")
    (detector,) = detectors("zmq")
    (served,) = [words[words.index("--zmq") + 1] for _, words in commands("lineage") if "--zmq" in words]
    for endpoint in (detector["endpoint"], served, *re.findall(r"`(ipc://[^`]+)`", text("docs/frigate.md"))):
        assert Settings(zmq=endpoint).zmq == endpoint
    assert urlsplit(served).port == urlsplit(detector["endpoint"]).port


def test_frigate_address_answers(client: TestClient) -> None:
    (detector,) = detectors("deepstack")
    path = urlsplit(detector["api_url"]).path
    answer = client.post(path, files={"image": png(flat(200))}, data={"api_key": detector["api_key"]})
    assert [found["label"] for found in answer.json()["predictions"]] == ["red"]


def test_home_assistant_finds_the_detector(client: TestClient) -> None:
    doods = HOME_ASSISTANT[0]
    headers = {"doods-auth-key": doods["auth_key"]} if doods["auth_key"] else {}
    answer = client.get(f"{urlsplit(doods['url']).path}/detectors", headers=headers)
    assert doods["detector"] in [detector["name"] for detector in answer.json()["detectors"]]


def test_home_assistant_custom_model_has_an_address(client: TestClient) -> None:
    platform = HOME_ASSISTANT[1]
    assert {"ip_address", "port", "targets", "source"} <= platform.keys()
    answer = client.post(f"/v1/vision/custom/{platform['custom_model']}", files={"image": png(flat(200))})
    assert "available: toy" in answer.json()["error"]  # an address that looks for the model


def test_ports_are_those_of_the_commands() -> None:
    served = {words[words.index("--port") + 1] for _, words in commands("lineage") if "--port" in words}
    addresses = [urlsplit(d["api_url"]).port for d in detectors("deepstack")] + [
        urlsplit(HOME_ASSISTANT[0]["url"]).port
    ]
    assert {*map(str, addresses), str(HOME_ASSISTANT[1]["port"])} <= served
