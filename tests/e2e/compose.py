"""docker-compose on the test engine: containers on the host network, with ports and folders of the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT

HOST_NETWORK = ROOT / "tests" / "e2e" / "docker-compose.host.yml"
START_TIMEOUT = 60  # seconds


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


def copy_of(name: str, folder: Path) -> Path:
    """Copy a compose file without `ports`, which conflict with the host network, and with keys in `folder`."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.strip().startswith("ports:")]
    text = "".join(kept)
    for mounted in ("./keys:", "./prometheus.key:"):
        text = text.replace(mounted, f"{folder}/{mounted[2:]}")
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(condition: Callable[[], object], explain: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.5)


def wait_until_healthy(container: str) -> None:
    wait_until(
        lambda: inspect(container, ".State.Health.Status") == "healthy", lambda: run("docker", "logs", container)
    )


class Compose:
    """docker-compose with a project name, ports and folders of the tests."""

    def __init__(self, shared: Path, folder: Path, *more: str) -> None:
        self.folder, self.models, self.runs = folder, folder / "models", folder / "runs"
        folder.chmod(0o755)  # for the users of the images
        self.models.mkdir()
        self.runs.mkdir()
        files = [*(copy_of(name, folder) for name in ("docker-compose.yml", *more)), HOST_NETWORK]
        file_options = [option for file in files for option in ("-f", str(file))]
        self.options = ["-p", folder.name, *file_options, "--project-directory", str(ROOT)]
        self.port, self.prometheus_port = free_port(), free_port()
        self.replicas = free_port(), free_port()
        self.settings = {
            "TEST_PORT": str(self.port),
            "TEST_PROMETHEUS_PORT": str(self.prometheus_port),
            "TEST_PORT_A": str(self.replicas[0]),
            "TEST_PORT_B": str(self.replicas[1]),
            "TEST_FOLDER": str(folder),
            "TEST_WEIGHTS": str((shared / "weights").resolve()),
            "TEST_DATA": str((shared / "data").resolve()),
            "TEST_MODELS": str(self.models),
            "TEST_RUNS": str(self.runs),
            "LINEAGE_UID": str(os.getuid()),
        }
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def __call__(self, *arguments: str) -> str:
        return run("docker-compose", *self.options, *arguments, **self.settings)

    def start(self, *services: str) -> str:
        """Start services and return the container of the server, once it is healthy."""
        self("--profile", "observability", "up", "--detach", *services)
        container = self("ps", "--quiet", services[0]).splitlines()[-1]
        wait_until_healthy(container)
        return container

    def end(self) -> None:
        self.client.close()
        profiles = [option for name in ("observability", "scale", "training") for option in ("--profile", name)]
        self(*profiles, "down", "--volumes")
