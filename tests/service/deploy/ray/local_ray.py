"""A Ray of its own on this machine, with one application of a shipped configuration."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
from httpx2 import Client, HTTPError

from tests.conftest import ROOT

TIMEOUT = 120.0
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; `make test-ray` installs it and runs this"
)


def shipped(name: str) -> Any:
    """Return a configuration of the package."""
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / "service" / "deploy" / "ray" / f"{name}.yaml").read_text(encoding="utf-8"))


def configure(name: str, arguments: dict[str, Any], **deployments: dict[str, Any]) -> Any:
    """Return a shipped configuration with other arguments, and other options of deployments."""
    config = shipped(name)
    (application,) = config["applications"]
    application["args"] |= arguments
    for deployment in application["deployments"]:
        changes = deployments.get(deployment["name"], {})
        if "num_replicas" in changes:
            deployment.pop("autoscaling_config", None)
        deployment |= changes
    return config


class LocalRay:
    """Runs a configuration with a Ray that ends with it."""

    def __init__(self, config: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config["http_options"] |= {"host": "127.0.0.1", "port": self.port}
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # the paths of its sockets must be short
        file = self._folder / "serve.yaml"
        file.write_text(json.dumps(config))
        own = {"RAY_ADDRESS": "local", "RAY_TMPDIR": str(self._folder), "RAY_AUTH_MODE": "disabled"}
        own |= {"RAY_USAGE_STATS_ENABLED": "0", "LINEAGE_MEASURE": "0", "NO_COLOR": "1"}
        with (self._folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.deploy.ray", file],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith(("LINEAGE_", "RAY_"))}
                | own,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.client = Client(base_url=f"http://127.0.0.1:{self.port}", timeout=TIMEOUT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def replicas(self, deployment: str) -> list[int]:
        """Return the process ids of the replicas of a deployment."""
        name = f"ServeReplica:lineage:{deployment}"
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                found += [process.pid] if name in " ".join(process.cmdline()) else []
        return found

    def wait_for(self, deployment: str, count: int, seconds: float = TIMEOUT) -> list[int]:
        """Wait until a deployment has so many replicas, and return their process ids."""
        end = time.monotonic() + seconds
        while len(found := self.replicas(deployment)) != count:
            assert time.monotonic() < end, f"{deployment}: {found} instead of {count}\n{self.log}"
            time.sleep(0.1)
        return found

    def wait_until_ready(self) -> Self:
        end = time.monotonic() + TIMEOUT
        while not self._is_ready():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.1)
        return self

    def _is_ready(self) -> bool:
        with suppress(HTTPError):
            return self.client.get("/health/ready").status_code == 200
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        started = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        for process in [*started, self.process]:
            with suppress(psutil.Error, OSError):
                process.kill()
        psutil.wait_procs(started, 10)
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
