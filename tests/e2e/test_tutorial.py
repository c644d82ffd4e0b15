"""Run every command of docs/tutorial.md at a reduced size: from rendering pages to detecting over HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx2
import pytest

from model_zoo.contract.repository import Repository
from tests.conftest import ROOT
from tests.examples.ui_elements.rendering import needs_chromium, needs_systems

# Options of the document and their replacements, which take a minute instead of an hour.
SIZES = {"--count 600": "--count 16", "--epochs 30": "--epochs 1", "--image-size 640": "--image-size 160 --workers 0"}
# Done before the tests, needs the network, or takes two hours (test_make.py of the example runs a small version).
NOT_RUN = ("make", ". .venv/bin/activate", "npm install --prefix examples/ui_elements", "make ui-elements")
# A run of one epoch ends before it could be interrupted, so that resuming it is refused with this message.
REFUSED = {"lineage train --resume runs/ui-elements": "a finished run cannot be resumed"}
TIMEOUT = 60.0

pytestmark = [
    pytest.mark.slow,
    needs_systems,
    needs_chromium,
    pytest.mark.skipif(not shutil.which("curl"), reason="needs curl"),
]


def shell_lines() -> list[str]:
    """List the lines of the document's shell blocks."""
    document = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


class Shell:
    """Runs commands in a folder with the programs and samples that they use."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.servers = folder, list[subprocess.Popen[bytes]]()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"localhost:{free.getsockname()[1]}"
        samples = Path("service", "web", "static", "playground", "samples")
        (folder / samples).parent.mkdir(parents=True)
        (folder / samples).symlink_to(ROOT / samples)
        programs = folder / "bin"
        programs.mkdir()
        for name, start in (("python", ""), ("lineage", "-m lineage")):
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {start} "$@"\n')
            (programs / name).chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LINEAGE_")}
        self.environment = environment | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LINEAGE_CACHE": str(folder / "cache"),
            "LINEAGE_PORT": self.address.split(":")[1],
        }

    def run(self, line: str) -> str:
        """Run one line and return its output. A server keeps running."""
        for option, small in SIZES.items():
            line = line.replace(option, small)
        command = ["bash", "-c", line.replace("localhost:8000", self.address)]
        if line.startswith("lineage serve"):
            self.servers.append(subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment))
            return self._until_ready()
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == (line not in REFUSED), f"{line}\n{done.stdout}\n{done.stderr}"
        assert REFUSED.get(line, "") in done.stderr
        return done.stdout

    def _until_ready(self) -> str:
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            try:
                response = httpx2.get(f"http://{self.address}/health/ready")
            except httpx2.ConnectError:
                response = None
            if response is not None and response.status_code == 200:
                return ""
            time.sleep(0.05)
        raise AssertionError(f"no server on {self.address}")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for server in shell.servers:
        server.terminate()
        server.wait(TIMEOUT)


def test_tutorial_commands_run(shell: Shell, tmp_path: Path) -> None:
    lines = shell_lines()
    assert set(NOT_RUN) | set(REFUSED) <= set(lines)
    assert all(any(option in line for line in lines) for option in SIZES)
    outputs = {line: shell.run(line) for line in lines if line not in NOT_RUN}
    [answer] = [json.loads(text) for line, text in outputs.items() if line.startswith("curl") and "-o" not in line]
    assert answer["model"] == {"name": "ui-elements", "version": 1}
    sample = ROOT / "service" / "web" / "static" / "playground" / "samples" / "file-manager.jpg"
    assert cv2.imread(str(tmp_path / "answer.jpg")).shape == cv2.imread(str(sample)).shape
    assert Repository(tmp_path / "models").versions("ui-elements") == [1, 2]
    assert json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["split"] == "test"
    assert len(json.loads((tmp_path / "detections.json").read_text())["results"]) == len(list(sample.parent.iterdir()))
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {path.name for path in sample.parent.iterdir()}
    assert (tmp_path / "runs" / "ui-elements" / "report.html").is_file()
    assert any((tmp_path / "plots").iterdir())
