"""Values that are read at the scrape."""

from __future__ import annotations

from loky import cpu_count
from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from model_zoo.runtime.choice import Choice, Trial
from tests.repositories import Publish
from tests.service.app_client import serving, wait_until
from tests.service.fake_engine import FakeEngine


def value(client: TestClient, line: str) -> float | None:
    found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(f"{line} ")]
    return float(found[0].rpartition(" ")[2]) if found else None


def test_loaded_model_and_its_engine(client: TestClient) -> None:
    assert value(client, 'lineage_model_state{model="toy",state="loaded",version="1"}') == 1
    assert value(client, 'lineage_model_state{model="toy",state="failed",version="1"}') == 0
    assert value(client, 'lineage_engine_state{model="toy",state="ok",version="1"}') == 1
    info = 'lineage_engine_info{compute="fp32",device="cpu",model="toy",version="1"}'
    assert value(client, info) == 1
    assert value(client, 'lineage_engine_workers{model="toy",version="1"}') == cpu_count()
    assert value(client, 'lineage_engine_measured_images_per_second{model="toy",version="1"}') is None
    assert value(client, 'lineage_queue_images{model="toy",version="1"}') == 0
    assert value(client, "lineage_ready") == 1


def test_speed_of_a_measured_choice(repository: Repository, publish: Publish) -> None:
    publish()
    trials = (Trial("cpu", "fp32", images_per_second=20), Trial("openvino", "bf16", images_per_second=50.5))
    choice = Choice("openvino", "bf16", trials)
    with serving(repository, lambda package, _: FakeEngine(package.card, choice=choice)) as client:
        assert value(client, 'lineage_engine_measured_images_per_second{model="toy",version="1"}') == 50.5


def test_version_that_cannot_be_loaded(repository: Repository, publish: Publish) -> None:
    publish(contents=b"not a model")
    with serving(repository, ready=False) as client:
        failed = 'lineage_model_state{model="toy",state="failed",version="1"}'
        wait_until(lambda: value(client, failed) == 1)
        assert value(client, "lineage_ready") == 0
        assert value(client, 'lineage_engine_state{model="toy",state="ok",version="1"}') is None
