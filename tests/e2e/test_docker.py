"""The Docker images and docker-compose.yml: import in one container, serve from another, POST an image, stop.

Needs a Docker engine, by default or at DOCKER_HOST. Skipped without one.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.conftest import ROOT

HOST_NETWORK = ROOT / "tests" / "e2e" / "docker-compose.host.yml"
IMAGE = "000000303818"
START_TIMEOUT, CHECKPOINT_TIMEOUT = 60, 300  # seconds

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def run(*command: str | Path, **settings: str) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}"
    return done.stdout.strip()


def inspect(container: str, field: str) -> str:
    return run("docker", "inspect", "--format", "{{" + field + "}}", container)


def require_engine() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no Docker engine found; start one or set DOCKER_HOST")
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")


def without_ports(folder: Path) -> Path:
    """Copy docker-compose.yml without `ports`, which conflicts with the host network."""
    lines = (ROOT / "docker-compose.yml").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.strip().startswith("ports:")]
    assert len(lines) - len(kept) == 3  # server, Prometheus, Grafana
    file = folder / "docker-compose.yml"
    file.write_text("".join(kept), encoding="utf-8")
    return file


class Compose:
    """docker-compose with a project name, port and folders of the tests."""

    def __init__(self, shared: Path, folder: Path) -> None:
        models, self.runs = folder / "models", folder / "runs"
        models.mkdir()
        self.runs.mkdir()
        self.files = ("-f", str(without_ports(folder)), "-f", str(HOST_NETWORK), "--project-directory", str(ROOT))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.settings = {
            "TEST_PORT": str(self.port),
            "TEST_WEIGHTS": str((shared / "weights").resolve()),
            "TEST_DATA": str((shared / "data").resolve()),
            "TEST_MODELS": str(models),
            "TEST_RUNS": str(self.runs),
            "LINEAGE_UID": str(os.getuid()),
        }

    def __call__(self, *arguments: str) -> str:
        return run("docker-compose", "-p", "lineage-test", *self.files, *arguments, **self.settings)


@pytest.fixture(scope="module")
def compose(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Both images, and a repository with yolov5n imported by the training image."""
    require_engine()
    compose = Compose(shared, tmp_path_factory.mktemp("compose"))
    compose("--profile", "training", "build", "cpu", "training")
    compose("run", "--rm", "training", "import", "/weights/yolov5n.pt", "--name", "yolov5n", "--repository", "/models")
    yield compose
    compose("--profile", "training", "down")


@pytest.fixture(scope="module")
def server(compose: Compose) -> str:
    """The container of `docker-compose up`, once it is healthy."""
    compose("up", "--detach", "cpu")
    container = compose("ps", "--quiet", "cpu").splitlines()[-1]
    deadline = time.monotonic() + START_TIMEOUT
    while inspect(container, ".State.Health.Status") != "healthy":
        assert time.monotonic() < deadline, run("docker", "logs", container)
        time.sleep(0.5)
    return container


def detect(compose: Compose, image: Path) -> dict[str, Any]:
    query = "model=yolov5n&score=0.25&iou=0.45&nms=iou"
    with image.open("rb") as file:
        response = httpx2.post(f"http://127.0.0.1:{compose.port}/detect?{query}", files={"file": file}, timeout=30)
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.mark.usefixtures("server")
def test_compose_serves_an_image(compose: Compose, shared: Path) -> None:
    reference = np.load(shared / "weights" / f"yolov5n_{IMAGE}_640.npz")["dets_image"]
    (result,) = detect(compose, shared / "data" / "coco_mini" / "images" / f"{IMAGE}.jpg")["results"]
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


def test_stop_is_graceful(compose: Compose, server: str) -> None:
    """Keep this test last: it stops the server. Exit code 0 is a graceful shutdown, 137 a kill."""
    compose("stop", "cpu")
    assert inspect(server, ".State.ExitCode") == "0"
    assert "shutdown complete" in run("docker", "logs", server)
