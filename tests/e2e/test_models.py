"""A real server shares its memory among models, and follows their settings, without losing a request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_zoo.contract.repository import Repository
from service.inference.residency import FIXED
from tests.e2e.server import Server
from tests.service.app_client import png, wait_until
from tests.service.conftest import flat, repository
from tests.tiny_onnx import toy_card, toy_onnx

__all__ = ["repository"]

NAMES = ("a", "b", "c")
BUDGET = 2 * (FIXED + 1_000_000)
IMAGE = png(flat(9))


@pytest.fixture
def models(repository: Repository, tmp_path: Path) -> Repository:
    for name in NAMES:
        (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card(name)))
        repository.publish(toy_card(name), {"model.onnx": tmp_path / "toy.onnx"})
    return repository


@contextmanager
def sending(server: Server, name: str, statuses: list[int]) -> Iterator[None]:
    """Send requests for a model during the block."""
    ended = threading.Event()

    def send() -> None:
        while not ended.is_set():
            answer = server.client.post(f"/detect?model={name}", content=IMAGE, headers={"Content-Type": "image/png"})
            statuses.append(answer.status_code)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_models_beyond_the_budget_are_unloaded_and_load_again(models: Repository) -> None:
    with Server(models.root, model_memory=BUDGET) as server:
        server.wait_until_ready()
        for name in NAMES * 2:
            answer = server.client.post(f"/detect?model={name}", content=IMAGE, headers={"Content-Type": "image/png"})
            assert (answer.status_code, answer.json()["model"]["name"]) == (200, name)
        states = [model["versions"][0]["state"] for model in server.client.get("/models").json()["models"]]
        assert states == ["available", "loaded", "loaded"]
        assert server.client.get("/health/ready").status_code == 200
        scrape = server.client.get("/metrics").text
        assert 'lineage_model_unloads_total{model="a",reason="memory",version="1"} 2.0' in scrape
        used = [line for line in scrape.splitlines() if line.startswith("lineage_model_memory_bytes ")]
        assert 0 < float(used[0].split()[1]) <= BUDGET


def test_settings_of_a_model_change_under_load(models: Repository) -> None:
    path = models.root / "a" / "service.json"
    statuses: list[int] = []

    def health() -> str:
        return json.dumps(server.client.get("/health/ready").json())

    def detections(score: float, *, changes: int) -> int:
        path.write_text(json.dumps({"score": score}))
        wait_until(lambda: server.log.count("unloading a@1: settings") == changes)
        answer = server.client.post("/detect?model=a", content=IMAGE, headers={"Content-Type": "image/png"})
        return len(answer.json()["results"][0]["detections"])

    with Server(models.root, poll=0.05) as server, sending(server.wait_until_ready(), "a", statuses):
        assert detections(1.0, changes=1) == 0
        assert detections(0.01, changes=2) > 0
        path.write_text('{"scores": 1}')
        wait_until(lambda: "a/service.json: scores: unknown field" in health())
        assert server.client.get("/health/ready").status_code == 200
        path.unlink()
        wait_until(lambda: "service.json" not in health())
        assert server.log.count("a/service.json: scores: unknown field") == 1
    assert set(statuses) == {200}
