"""GET /health."""

from __future__ import annotations

from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from service.api.native.schemas import Health
from tests.service.app_client import check_problem, detect, png, serving, wait_until
from tests.service.conftest import flat


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
