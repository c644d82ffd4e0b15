"""A model repository with a toy model, and applications around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.package import Package, Repository
from service.embedded import EMBEDDED
from tests.service.toy import toy_card, toy_onnx

SAMPLES = EMBEDDED.root.parent / "playground" / "samples"
Publish = Callable[..., Package]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


@pytest.fixture
def publish(repository: Repository, tmp_path: Path) -> Publish:
    """Publish the next version of a model whose file is of no matter (for the fake engine)."""

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


def flat(red: int, green: int = 0, blue: int = 0, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """An image of one colour."""
    return np.full((*size, 3), (red, green, blue), dtype=np.uint8)
