"""Every command of docs/tutorial.md, as it is written there, in small form: from pages to answers over HTTP."""

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

from model_zoo.contract.package import Repository
from tests.conftest import ROOT
from tests.examples.ui_elements.rendering import needs_chromium, needs_systems

# What the document says, and what is run in its place: a minute instead of an hour.
SIZES = {"--count 600": "--count 16", "--epochs 30": "--epochs 1", "--image-size 640": "--image-size 160 --workers 0"}
# Done already where this test runs; needs the network; takes two hours (tests/examples/test_make.py has it in small).
NOT_RUN = ("make", ". .venv/bin/activate", "npm install --prefix examples/ui_elements", "make ui-elements")
# A run of one epoch is over before it could be interrupted; what the command says of it is expected.
REFUSED = {"lineage train --resume runs/ui-elements": "it is finished"}
TIMEOUT = 60.0

pytestmark = [
    pytest.mark.slow,
    needs_systems,
    needs_chromium,
    pytest.mark.skipif(not shutil.which("curl"), reason="needs curl"),
]


def written() -> list[str]:
    """List the lines of the document's shell blocks."""
    document = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


class Reader:
    """Types the commands in a folder that has what they name of the checkout, and keeps what they print."""

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
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LINEAGE_")}
        self.environment = kept | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LINEAGE_CACHE": str(folder / "cache"),
            "LINEAGE_PORT": self.address.split(":")[1],
        }

    def type(self, line: str) -> str:
        """Run one line; a server stays up."""
        for said, small in SIZES.items():
            line = line.replace(said, small)
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
        give_up = time.monotonic() + TIMEOUT
        while time.monotonic() < give_up:
            try:
                answer = httpx2.get(f"http://{self.address}/health/ready")
            except httpx2.ConnectError:
                answer = None
            if answer is not None and answer.status_code == 200:
                return ""
            time.sleep(0.05)
        raise AssertionError(f"no server on {self.address}")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    for server in reader.servers:
        server.terminate()
        server.wait(TIMEOUT)


def test_the_commands_lead_from_nothing_to_a_served_model(reader: Reader, tmp_path: Path) -> None:
    lines = written()
    assert set(NOT_RUN) | set(REFUSED) <= set(lines)
    assert all(any(said in line for line in lines) for said in SIZES)
    printed = {line: reader.type(line) for line in lines if line not in NOT_RUN}
    [answer] = [json.loads(text) for line, text in printed.items() if line.startswith("curl") and "-o" not in line]
    assert answer["model"] == {"name": "ui-elements", "version": 1}
    sample = ROOT / "service" / "web" / "static" / "playground" / "samples" / "file-manager.jpg"
    assert cv2.imread(str(tmp_path / "answer.jpg")).shape == cv2.imread(str(sample)).shape
    assert Repository(tmp_path / "models").versions("ui-elements") == [1, 2]
    assert json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["split"] == "test"
    assert len(json.loads((tmp_path / "found.json").read_text())["results"]) == len(list(sample.parent.iterdir()))
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {path.name for path in sample.parent.iterdir()}
    assert (tmp_path / "runs" / "ui-elements" / "report.html").is_file()
    assert any((tmp_path / "plots").iterdir())
