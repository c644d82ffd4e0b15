"""A folder to run commands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lineage.cli.toy_files import publish


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a repository `models` of one model."""
    publish(tmp_path / "models", "toy", tmp_path / "toy.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path
