"""GET /models."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.testclient import TestClient

from model_zoo.contract.card import ParentWeights, WeightsOrigin
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, HeaderMatch, Rollout
from model_zoo.contract.set_rollout import set_rollout
from model_zoo.runtime.choice import Choice, Trial
from service.api.native.schemas import Model, ModelDetail, Models
from tests.service.app_client import check_problem, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import FakeEngine, open_fake_engine
from tests.tiny_onnx import toy_card


def test_models_are_listed_with_versions_states_and_problems(repository: Repository, publish: Publish) -> None:
    publish()
    publish().model_path.unlink()
    publish("other")
    repository.set_alias("toy", "stable", 1)
    with serving(repository, open_fake_engine) as client:
        wait_until(lambda: "available" not in client.get("/models").text)
        listed = Models.model_validate(client.get("/models").json())
        other, toy = listed.models
        assert (other.name, other.default, toy.default, toy.aliases) == ("other", 1, 1, {"stable": 1})
        assert [(v.version, v.state) for v in toy.versions] == [(1, "loaded"), (2, "failed")]
        assert "model.onnx is missing" in str(toy.versions[1].reason)
        assert toy.degraded[0].startswith("toy@latest: serving version 1 instead of 2, because toy@2: model.onnx is")
        assert "toy@2" in listed.problems[0]
        shown = client.get("/models/toy").json()
        assert Model.model_validate(shown) == toy
        card = ModelDetail.model_validate(shown).card
        assert card is not None
        assert card["class_names"] == ["red", "green", "blue"]


def test_cards_sizes_and_rollout_are_shown(repository: Repository, publish: Publish) -> None:
    for _ in range(3):
        publish()
    (repository.root / "toy" / "3" / "model.onnx").unlink()
    set_rollout(repository, "toy", Rollout("1", Canary("2", 5, HeaderMatch("x-secret", "of operators"))))
    with serving(repository, open_fake_engine) as client:
        wait_until(lambda: "available" not in client.get("/models").text)
        response = client.get("/models/toy")
    shown = response.json()
    assert shown["rollout"] == {"stable": "1", "canary": {"version": "2", "percent": 5.0}, "shadow": None}
    assert "of operators" not in response.text
    first, second, damaged = shown["versions"]
    assert first["card"] == second["card"] == shown["card"]
    assert first["model_bytes"] == (repository.root / "toy" / "1" / "model.onnx").stat().st_size
    assert not damaged.keys() & {"card", "model_bytes"}


def test_engine_and_its_choice_are_listed(repository: Repository, publish: Publish) -> None:
    publish()
    trials = (Trial("cpu", "fp32", 60.0, 20.0, 90.0, 1.0), Trial("openvino", "bf16", 30.0, 50.0, 200.0, 0.95))
    choice = Choice("openvino", "bf16", trials)
    with serving(repository, lambda package, _: FakeEngine(package.card, choice=choice)) as client:
        [version] = client.get("/models/toy").json()["versions"]
    listed = [asdict(trial) for trial in trials]
    expected = {"device": "fake", "provider": "openvino", "compute": "bf16", "workers": 1, "trials": listed}
    assert version["engine"] == expected


def test_license_parents_and_terms_are_listed(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"model")
    parent = ParentWeights("yolov5n.pt", "0" * 64, "AGPL-3.0")
    for weights in (WeightsOrigin("MIT", parents=(parent,)), WeightsOrigin("MIT", parents=())):
        repository.publish(toy_card(weights=weights), {"model.onnx": tmp_path / "a.onnx"})
    with serving(repository, open_fake_engine) as client:
        [first, second] = client.get("/models").json()["models"][0]["versions"]
    assert (first["license"], first["parents"]) == ("MIT", [vars(parent)])
    assert "complete source" in first["terms"]["AGPL-3.0"]
    assert (second["parents"], second["terms"]) == ([], {})


def test_unknown_model_lists_the_available_ones(client: TestClient) -> None:
    detail = check_problem(client.get("/models/tyo"), 404, "No such model")
    assert detail == "no model 'tyo'; did you mean toy? available: toy"


def test_failed_version_has_the_reason_and_the_next_try(repository: Repository, publish: Publish) -> None:
    publish()
    package = publish(contents=b"original")
    package.model_path.write_bytes(b"modified")
    with serving(repository, open_fake_engine) as client:
        wait_until(lambda: client.get("/models/toy").json()["degraded"])
        shown = client.get("/models/toy").json()
        failed = shown["versions"][1]
        assert (shown["default"], failed["state"]) == (1, "failed")
        assert failed["reason"].startswith("toy@2: model.onnx is damaged: expected sha256")
        wait = datetime.fromisoformat(failed["next_try"]) - datetime.now(UTC)
        assert timedelta(seconds=-60) < wait < timedelta(seconds=301)
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["degraded"] == shown["degraded"]
        assert detect(client, png(flat(1))).json()["model"] == {"name": "toy", "version": 1}


def test_default_model_is_listed(repository: Repository, publish: Publish) -> None:
    publish("zebra")
    with serving(repository, open_fake_engine):
        pass
    publish("ant")
    with serving(repository, open_fake_engine) as client:
        assert client.get("/models").json()["default_model"] == "zebra"
