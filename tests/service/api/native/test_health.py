"""GET /health."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from service.api.native.schemas import Health
from service.inference import engine_guard
from tests.service.app_client import check_problem, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import open_fake_engine
from tests.service.faulty_engines import FaultyEngines


def test_empty_repository_is_live_and_not_ready(repository: Repository) -> None:
    with serving(repository, ready=False) as client:
        wait_until(lambda: "lineage import" in client.get("/health/ready").text)
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert Health.model_validate(ready.json()).status == "not ready"
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/models").json() == {"models": [], "problems": [], "default_model": None}
        assert "lineage import" in check_problem(detect(client, png(flat(1))), 404, "No such model")


def test_loaded_model_is_ready(client: TestClient) -> None:
    assert client.get("/health/ready").json() == {"status": "ready", "missing": []}


def test_unusable_key_file_is_degraded(publish: Publish, repository: Repository, tmp_path: Path) -> None:
    publish()
    path = tmp_path / "keys.json"
    add_key(path, "ci", ("detect",))
    with serving(repository, open_fake_engine, keys=path) as client:
        path.write_text("{")
        wait_until(lambda: client.get("/health/ready").json().get("degraded"))
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["degraded"] == [
            "keys: the file cannot be used, and the keys read before are valid; the log says why"
        ]


def test_announced_shutdown_is_not_ready_and_still_answers(publish: Publish, repository: Repository) -> None:
    publish()
    with serving(repository, open_fake_engine) as client:
        client.app_state["service"].shutdown.announce(30)
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["shutting down in 30 s"])
        assert client.get("/health/live").status_code == 200
        assert detect(client, png(flat(1))).status_code == 200


def test_engine_that_fails_twice_is_not_ready_until_one_answers(
    publish: Publish, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_guard, "backoff", lambda _: 1.0)
    publish()
    with serving(repository, FaultyEngines("dead", "dead")) as client:
        failed = detect(client, png(flat(1)))
        assert "no new engine can be opened" in check_problem(failed, 503, "Engine failed")
        assert "no new engine can be opened" in client.get("/health/ready").json()["missing"][0]
        refused = detect(client, png(flat(1)))
        assert (refused.json()["title"], refused.headers["retry-after"]) == ("Engine failed", "1")
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        assert detect(client, png(flat(1))).status_code == 200


def test_hung_engine_is_replaced_without_a_failed_request(publish: Publish, repository: Repository) -> None:
    publish()
    engines = FaultyEngines("hangs on images", "hangs on images")
    with serving(repository, engines, run_timeout=0.5, warm_up=False) as client:
        engines.faults = ()
        assert detect(client, png(flat(1)), png(flat(2))).status_code == 200
        assert client.get("/health/ready").status_code == 200
        engines.released.set()
    assert len(engines.opened) == 2
