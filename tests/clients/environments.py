"""Environments of unmodified clients, built by `make test-clients` from tests/clients/requirements."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = Path(os.environ.get("LINEAGE_CLIENTS", ROOT / "build" / "clients"))
PROGRAMS = ROOT / "tests" / "clients" / "programs"
TIMEOUT = 300


def environment(name: str) -> Path:
    """Return the folder of the programs of an environment, or skip the test without it."""
    if not (FOLDER / name / ".ready").is_file():
        pytest.skip(f"no environment of the client {name!r}; `make test-clients` builds it from the package index")
    return FOLDER / name / "bin"


def run(name: str, command: Sequence[object], folder: Path, **variables: str) -> str:
    """Run a command in an environment and return what it prints."""
    folder_of_programs = environment(name)
    search_path = f"{folder_of_programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={"HOME": str(folder), "PATH": search_path, "LANG": "C.UTF-8", **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout
