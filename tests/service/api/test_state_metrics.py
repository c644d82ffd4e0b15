"""Values that are read at the scrape."""

from __future__ import annotations

from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from tests.repositories import Publish
from tests.service.app_client import serving, wait_until


def value(client: TestClient, line: str) -> float | None:
    found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(f"{line} ")]
    return float(found[0].rpartition(" ")[2]) if found else None


def test_loaded_model_and_its_engine(client: TestClient) -> None:
    assert value(client, 'lineage_model_state{model="toy",state="loaded",version="1"}') == 1
    assert value(client, 'lineage_model_state{model="toy",state="failed",version="1"}') == 0
    assert value(client, 'lineage_engine_state{model="toy",state="ok",version="1"}') == 1
    assert value(client, 'lineage_queue_images{model="toy",version="1"}') == 0
    assert value(client, "lineage_ready") == 1


def test_version_that_cannot_be_loaded(repository: Repository, publish: Publish) -> None:
    publish(contents=b"not a model")
    with serving(repository, ready=False) as client:
        failed = 'lineage_model_state{model="toy",state="failed",version="1"}'
        wait_until(lambda: value(client, failed) == 1)
        assert value(client, "lineage_ready") == 0
        assert value(client, 'lineage_engine_state{model="toy",state="ok",version="1"}') is None
