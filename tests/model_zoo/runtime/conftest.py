"""Model repositories for tests of the engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.golden import write_golden
from tests.repositories import publish, repository, toy
from tests.tiny_onnx import toy_card, toy_onnx

__all__ = ["PublishFile", "publish", "repository", "toy"]

PublishFile = Callable[[ModelCard, bytes], Package]


@pytest.fixture
def publish_file(repository: Repository, tmp_path: Path) -> PublishFile:
    """Publish a card beside a model file that may contain another card."""

    def publish_file(card: ModelCard, contents: bytes) -> Package:
        source = tmp_path / "model.onnx"
        source.write_bytes(contents)
        return repository.publish(card, {"model.onnx": source})

    return publish_file


@pytest.fixture
def golden_toy(tmp_path: Path) -> Package:
    """Publish a package of a small ONNX file with golden images."""
    model = tmp_path / "toy.onnx"
    model.write_bytes(toy_onnx(toy_card()))
    files = write_golden(model, toy_card(), tmp_path)
    return Repository(tmp_path / "models").publish(toy_card(), {"model.onnx": model, **files})
