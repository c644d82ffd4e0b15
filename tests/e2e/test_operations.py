"""Every command of docs/operations.md, in its order, against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_zoo.contract.repository import Repository
from tests.conftest import ROOT
from tests.e2e.operations_page import sections
from tests.e2e.server import Server
from tests.service.conftest import SAMPLES
from tests.tiny_onnx import toy_card, toy_onnx

ADDRESS = "localhost:8000"


def run(script: str, folder: Path) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with version 1 of `cars`, an exported file of the next one, and an image."""
    (tmp_path / "cars.onnx").write_bytes(toy_onnx(toy_card("cars")))
    shutil.copy(SAMPLES / "file-manager.jpg", tmp_path / "photo.jpg")
    Repository(tmp_path / "models").publish(toy_card("cars"), {"model.onnx": tmp_path / "cars.onnx"})
    return tmp_path


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_commands_of_the_page_work_in_its_order(folder: Path) -> None:
    scripts = sections()
    del scripts["Run in containers"]  # tests/e2e/test_docker.py
    assert list(scripts) == ["Start", "Watch it", "Upgrade a model", "Incidents", "Back up"]
    make_keys, check = scripts["Start"].split("curl", 1)
    run(make_keys, folder)
    with Server(folder / "models", folder, keys=folder / "keys.json", drain_seconds=10) as server:
        server.wait_until_ready()
        rest = f"curl{check}\n" + "\n".join(scripts[title] for title in list(scripts)[1:])
        output = run(rest.replace(ADDRESS, f"localhost:{server.port}"), folder)
        assert '"status": "ready"' in output or '"status":"ready"' in output
        assert server.log.count("admin change") == 8
    models = Repository(folder / "models")
    assert (models.versions("cars"), models.aliases("cars")) == ([1], {"stable": 1})
    assert Repository(folder / "restored" / "models").versions("cars") == [1]
