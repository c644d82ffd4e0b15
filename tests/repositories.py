"""Fixtures: a model repository, and packages published into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card, toy_onnx

Publish = Callable[..., Package]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


@pytest.fixture
def publish(repository: Repository, tmp_path: Path) -> Publish:
    """Publish the next version of a model with any file contents, for the fake engine."""

    def publish(name: str = "toy", contents: bytes = b"model") -> Package:
        source = tmp_path / "source.onnx"
        source.write_bytes(contents)
        return repository.publish(toy_card(name), {"model.onnx": source})

    return publish


@pytest.fixture
def toy(repository: Repository, tmp_path: Path) -> Package:
    """A package with a real, small ONNX file."""
    source = tmp_path / "toy.onnx"
    source.write_bytes(toy_onnx(toy_card()))
    return repository.publish(toy_card(), {"model.onnx": source})
