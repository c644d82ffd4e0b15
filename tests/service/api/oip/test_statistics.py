"""The statistics of the protocol count the requests of all protocols."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from tests.service.api.oip.wire import infer
from tests.service.app_client import detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import POISON, GatedEngines, open_fake_engine

FILE = png(flat(20))


def statistics(client: TestClient, path: str = "/v2/models/toy/stats") -> list[dict[str, Any]]:
    stats: list[dict[str, Any]] = client.get(path).json()["model_stats"]
    return stats


def counts(stats: dict[str, Any]) -> dict[str, int]:
    return {name: total["count"] for name, total in stats["inference_stats"].items()}


def test_requests_of_all_protocols_count(repository: Repository, publish: Publish) -> None:
    publish()
    with serving(repository, open_fake_engine) as client:
        before = statistics(client)[0]
        assert (before["name"], before["version"], before["last_inference"]) == ("toy", "1", 0)
        assert detect(client, FILE, FILE).status_code == 200
        assert infer(client, {"image": [FILE]}).status_code == 200
        assert infer(client, {"images": np.zeros((1, 64, 64, 3), np.uint8)}).status_code == 200
        assert detect(client, FILE, b"broken").status_code == 200
        assert infer(client, {"image": [png(flat(POISON))]}).status_code == 500
        stats = statistics(client)[0]
        assert counts(stats) == {"success": 3, "fail": 2, "queue": 3} | dict.fromkeys(
            ("compute_input", "compute_infer", "compute_output"), 3
        )
        assert (stats["inference_count"], stats["execution_count"]) == (5, 5)
        assert stats["batch_stats"][0]["batch_size"] == 1
        assert stats["batch_stats"][0]["compute_infer"]["count"] == 5
        assert stats["last_inference"] > 1_700_000_000_000
        times = {name: total["ns"] for name, total in stats["inference_stats"].items()}
        stages = ("queue", "compute_input", "compute_infer", "compute_output")
        assert 0 < sum(times[stage] for stage in stages) <= times["success"]


def test_batches_count_as_one_execution(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, max_batch=4, workers=1, warm_up=False, verify_on_load=False) as client:
        with ThreadPoolExecutor() as pool:
            first = pool.submit(detect, client, FILE)
            wait_until(lambda: engines.started)
            second = pool.submit(detect, client, *[FILE] * 4)
            wait_until(lambda: 'lineage_queue_images{model="toy",version="1"} 4.0' in client.get("/metrics").text)
            engines.gate.set()
            assert [first.result().status_code, second.result().status_code] == [200, 200]
        stats = statistics(client)[0]
        assert engines.batches == [1, 4]
        assert (stats["inference_count"], stats["execution_count"]) == (5, 2)
        assert [batch["batch_size"] for batch in stats["batch_stats"]] == [1, 4]
        assert counts(stats)["success"] == 2


def test_versions_and_all_models(repository: Repository, publish: Publish) -> None:
    for name in ("toy", "toy", "other"):
        publish(name)
    with serving(repository, open_fake_engine) as client:
        infer(client, {"image": [FILE]})
        every = statistics(client, "/v2/models/stats")
        assert [(s["name"], s["version"], s["inference_count"]) for s in every] == [
            ("other", "1", 0),
            ("toy", "1", 0),
            ("toy", "2", 1),
        ]
        assert statistics(client) == every[1:]
        assert statistics(client, "/v2/models/toy/versions/2/stats") == every[2:]
        assert client.get("/v2/models/none/stats").status_code == 404
