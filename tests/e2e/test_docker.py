"""The Docker images and docker-compose.yml: import in one container, serve from another, POST an image, stop.

Needs a Docker engine, by default or at DOCKER_HOST. Skipped without one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pytest

from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Rollout, Shadow
from model_zoo.contract.set_rollout import set_rollout
from service.access.key_file import remove_key
from tests.conftest import ROOT
from tests.e2e.compose import (
    START_TIMEOUT,
    Compose,
    free_port,
    inspect,
    require_engine,
    run,
    wait_until,
    wait_until_healthy,
)
from tests.e2e.operations_page import sections
from tests.e2e.prometheus import PrometheusClient, all_queries, panel_query, write_configuration
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.deploy.certificates import make_certificate, needs_openssl
from tests.tiny_onnx import toy_card, toy_onnx

IMAGE = "000000303818"
CHECKPOINT_TIMEOUT = 300  # seconds
IN_FLIGHT = 64

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def compose(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Both images, and a repository with yolov5n imported by the training image."""
    require_engine()
    compose = Compose(shared, tmp_path_factory.mktemp("compose"))
    compose("--profile", "training", "--profile", "observability", "build", "cpu", "training", "prometheus")
    compose(
        "run",
        "--rm",
        "training",
        "import",
        "/weights/yolov5n.pt",
        "--name",
        "yolov5n",
        "--repository",
        "/models",
        "--shapes",
        "square",
    )
    yield compose
    compose.end()


@pytest.fixture(scope="module")
def server(compose: Compose) -> str:
    """The container of `docker-compose up`."""
    return compose.start("cpu")


def detect(compose: Compose, image: bytes, *, model: str = "yolov5n", **headers: str) -> httpx2.Response:
    query = {"model": model, "score": "0.25", "iou": "0.45", "nms": "iou"}
    return compose.client.post("/detect", params=query, files={"file": image}, headers=headers)


def image_of(shared: Path) -> bytes:
    return (shared / "data" / "coco_mini" / "images" / f"{IMAGE}.jpg").read_bytes()


@pytest.mark.usefixtures("server")
def test_compose_serves_an_image(compose: Compose, shared: Path) -> None:
    reference = np.load(shared / "weights" / f"yolov5n_{IMAGE}_640.npz")["dets_image"]
    (result,) = detect(compose, image_of(shared)).json()["results"]
    rows = np.array([[*d["box"], d["score"], d["class_id"]] for d in result["detections"]])
    assert rows.shape == reference.shape
    np.testing.assert_array_equal(rows[:, 5], reference[:, 5])
    np.testing.assert_allclose(rows[:, 4], reference[:, 4], atol=0.01)
    np.testing.assert_allclose(rows[:, :4], reference[:, :4], atol=1)


def test_serving_image_has_no_torch_and_no_compiler(server: str) -> None:
    program = "import importlib.util as u, json, os; print(json.dumps([os.getuid(), u.find_spec('torch')]))"
    user, torch = json.loads(run("docker", "exec", server, "python", "-c", program))
    assert user != 0
    assert torch is None
    for tool in ("gcc", "cc", "make"):
        assert run("docker", "exec", server, "sh", "-c", f"command -v {tool} || true") == ""


@pytest.mark.usefixtures("compose")
def test_serving_image_is_small() -> None:
    image, base = (
        int(run("docker", "image", "inspect", "--format", "{{.Size}}", name))
        for name in ("yolo-lineage:cpu", "python:3.11-slim-bookworm")
    )
    assert image - base <= 350_000_000


@pytest.mark.usefixtures("compose")
def test_bundled_model_is_served_by_default() -> None:
    assert "ui-elements@1" in run("docker", "run", "--rm", "--network", "host", "yolo-lineage:cpu", "models")


def test_stopped_training_resumes(compose: Compose) -> None:
    options = "train --model yolov5n --data /data/bccd --epochs 3 --image-size 128 --batch 16 --runs /runs --name cells"
    container = compose("run", "--detach", "training", *options.split()).splitlines()[-1]
    checkpoint = compose.runs / "cells" / "checkpoint.safetensors"
    deadline = time.monotonic() + CHECKPOINT_TIMEOUT
    while not checkpoint.exists():
        assert time.monotonic() < deadline, run("docker", "logs", container)
        time.sleep(0.1)
    run("docker", "stop", container)
    assert inspect(container, ".State.ExitCode") == "130", run("docker", "logs", container)
    run("docker", "rm", container)
    resumed = compose("run", "--rm", "training", "train", "--resume", "/runs/cells")
    assert "finished, after 3 of 3 epochs" in resumed
    assert (compose.runs / "cells" / "report.html").stat().st_uid == os.getuid()


def test_ports_are_published_on_loopback_only() -> None:
    require_engine()

    def addresses(**settings: str) -> set[str]:
        config = run("docker-compose", "--profile", "observability", "--profile", "scale", "config", **settings)
        return set(re.findall(r"(?:host_ip: |- )([0-9.]+\.[0-9]+)", config))

    assert addresses() == {"127.0.0.1"}
    assert addresses(LINEAGE_BIND="0.0.0.0") == {"0.0.0.0", "127.0.0.1"}


def test_server_cannot_write_outside_tmp(server: str) -> None:
    program = "cd /tmp && touch x && ! touch /home/lineage/x /models/x 2>/dev/null && grep CapEff /proc/1/status"
    assert run("docker", "exec", server, "sh", "-c", program).split() == ["CapEff:", "0" * 16]


@needs_openssl
def test_health_check_speaks_tls(compose: Compose) -> None:
    certificate, key = make_certificate(compose.folder)
    key.chmod(0o644)  # for the user of the image
    settings = {"PORT": str(free_port()), "SSL_CERTFILE": f"/tls/{certificate.name}", "SSL_KEYFILE": f"/tls/{key.name}"}
    options = [option for name, value in settings.items() for option in ("--env", f"LINEAGE_{name}={value}")]
    options += ["--network", "host", "--volume", f"{compose.folder}:/tls:ro", "--health-interval=1s"]
    container = run("docker", "run", "--detach", *options, "yolo-lineage:cpu")
    try:
        wait_until_healthy(container)
        assert "listening on https://" in run("docker", "logs", container)
    finally:
        run("docker", "rm", "--force", container)


def publish_toy(compose: Compose, *, stable: str, shadow: str) -> None:
    """Publish versions of `toy` up to `shadow`, which gets copies of the traffic of `stable`."""
    repository = Repository(compose.models)
    source = compose.folder / "toy.onnx"
    source.write_bytes(toy_onnx(toy_card()))
    while str(max([0, *repository.versions("toy")])) != shadow:
        repository.publish(toy_card(), {"model.onnx": source})
    set_rollout(repository, "toy", Rollout(stable=stable, shadow=Shadow(shadow, 100)))


def toy_version(compose: Compose) -> str | None:
    """Return the version that answers, after a request with an image that cannot be read."""
    detect(compose, b"junk", model="toy")
    response = detect(compose, png(flat(255)), model="toy")
    return str(response.json()["model"]["version"]) if response.status_code == 200 else None


def test_profile_observability_answers_all_queries(compose: Compose) -> None:
    publish_toy(compose, stable="1", shadow="2")
    write_configuration(compose.folder, f"127.0.0.1:{compose.port}").chmod(0o644)
    compose.start("cpu", "prometheus")
    prometheus = PrometheusClient(f"127.0.0.1:{compose.prometheus_port}")
    wait_until(lambda: toy_version(compose) == "1")
    publish_toy(compose, stable="2", shadow="3")
    wait_until(lambda: toy_version(compose) == "2")
    wait_until(prometheus.is_ready)

    def missing() -> list[str]:
        toy_version(compose)
        return [query for query in all_queries() if not prometheus.query(query)]

    deadline = time.monotonic() + START_TIMEOUT
    while left := missing():
        assert time.monotonic() < deadline, left
        time.sleep(0.5)
    assert prometheus.is_up()
    (answers,) = prometheus.query(panel_query("Answers per second"))
    assert float(answers["value"][1]) > 0
    prometheus.close()


@pytest.fixture
def guarded(compose: Compose, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A server and Prometheus with keys, both made as the docs say."""
    guarded = Compose(shared, tmp_path_factory.mktemp("guarded"), "docker-compose.keys.yml")
    commands = sections()["Run in containers"]
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=guarded.folder, check=True)
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    credentials = re.search(r"^ +authorization: .+\n", page, re.MULTILINE)
    assert credentials
    write_configuration(guarded.folder, f"127.0.0.1:{guarded.port}", credentials[0])
    publish_toy(guarded, stable="1", shadow="2")
    yield guarded
    guarded.end()


def test_keys_in_compose(guarded: Compose) -> None:
    guarded.start("cpu", "prometheus")
    key = (guarded.folder / "camera.key").read_text(encoding="utf-8").strip()
    image = png(flat(255))
    assert detect(guarded, image, model="toy").status_code == 401
    assert detect(guarded, image, model="toy", authorization=f"Bearer {key}").status_code == 200
    assert guarded.client.get("/admin", headers={"x-api-key": key}).status_code == 403
    prometheus = PrometheusClient(f"127.0.0.1:{guarded.prometheus_port}")
    wait_until(lambda: prometheus.is_ready() and prometheus.is_up())
    prometheus.close()
    remove_key(guarded.folder / "keys" / "keys.json", "camera")
    wait_until(lambda: detect(guarded, image, model="toy", authorization=f"Bearer {key}").status_code == 401)


def test_stop_answers_requests_in_flight(compose: Compose, server: str, shared: Path) -> None:
    """Keep this test last: it stops the server. Exit code 0 is a graceful shutdown, 137 a kill."""
    image = image_of(shared)

    def answer(_: int) -> int:
        return detect(compose, image).status_code

    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        pool.submit(compose, "stop", "cpu")
        wait_until(lambda: compose.client.get("/health/ready").status_code == 503)
        statuses = list(pool.map(answer, range(IN_FLIGHT)))
    assert statuses == [200] * IN_FLIGHT
    assert inspect(server, ".State.ExitCode") == "0"
    assert "shutdown complete" in run("docker", "logs", server)
