"""Model repositories for tests of the engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.repositories import publish, repository, toy

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
