"""The examples of docs/clients.md for clients with an environment of their own run as pasted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.inference.bundled import BUNDLED_REPOSITORY
from tests.clients.environments import environment, run
from tests.conftest import ROOT
from tests.e2e.server import Server

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "clients.md"
SAMPLE = ROOT / "service" / "web" / "static" / "playground" / "samples" / "wizard.jpg"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Heading, environment, language of the block, and a part of what it prints.
EXAMPLES = (
    ("kserve", "kserve", "python", "detections"),
    ("perf_analyzer", "perf_analyzer", "sh", "Inference count:"),
    ("DeepStack and CodeProject", "vision", "python", "'link'"),
    ("DOODS", "vision", "python", "'link'"),
    ("Roboflow SDK", "roboflow", "python", "'link'"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(BUNDLED_REPOSITORY.root) as server:
        yield server.wait_until_ready()


def example(heading: str, language: str) -> str:
    """Return the first block of a language below a heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return next(block for kind, block in BLOCK.findall(section) if kind == language)


@pytest.mark.parametrize(("heading", "name", "language", "expected"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_example_runs(heading: str, name: str, language: str, expected: str, server: Server, tmp_path: Path) -> None:
    shutil.copy(SAMPLE, tmp_path / "photo.jpg")
    program = example(heading, language).replace("localhost:8000", f"127.0.0.1:{server.port}")
    program = program.replace("8000", str(server.port))
    interpreter = [environment(name) / "python", "-c"] if language == "python" else ["bash", "-euc"]
    assert expected in run(name, [*interpreter, program], tmp_path)
