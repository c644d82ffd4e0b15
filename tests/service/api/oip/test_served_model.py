"""Names of the protocol: models, versions and views."""

from __future__ import annotations

from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from service.api.oip.detections_view import DETECTIONS
from service.api.oip.served_model import find_model, views
from service.state import AppState
from tests.service.app_client import serving
from tests.service.conftest import Publish
from tests.service.fake_engine import open_fake_engine


def state_of(client: TestClient) -> AppState:
    state: AppState = client.app_state["service"]
    return state


def test_names_without_views(client: TestClient) -> None:
    state = state_of(client)
    assert views(state) == [DETECTIONS]
    assert find_model(state, "toy").reference == "toy"
    assert find_model(state, "toy", "3").reference == "toy@3"
    assert find_model(state, "toy.yolov5").view is DETECTIONS


def test_a_suffix_means_a_view_unless_a_model_has_that_name(repository: Repository, publish: Publish) -> None:
    publish("toy")
    publish("own.yolov5")
    with serving(repository, open_fake_engine, views="ultralytics,yolov5") as client:
        state = state_of(client)
        assert [view.suffix for view in views(state)] == [".yolov5", ".ultralytics", ""]
        found = find_model(state, "toy.yolov5", "2")
        assert (found.name, found.view.suffix, found.reference) == ("toy.yolov5", ".yolov5", "toy@2")
        assert find_model(state, "own.yolov5").reference == "own.yolov5"
        assert find_model(state, "toy").view is DETECTIONS
