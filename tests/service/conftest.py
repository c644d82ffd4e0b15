"""Model repositories and a test client for the service."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.repositories import Publish, publish, repository, toy
from tests.service.app_client import serving
from tests.tiny_onnx import toy_card, toy_onnx

__all__ = ["SAMPLES", "Publish", "client", "flat", "publish", "repository", "toy", "toy_package"]

SAMPLES = BUNDLED_REPOSITORY.root.parent / "web" / "static" / "playground" / "samples"


def flat(red: int, green: int = 0, blue: int = 0, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """An image of one color."""
    return np.full((*size, 3), (red, green, blue), dtype=np.uint8)


@pytest.fixture(scope="session")
def toy_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package that `client` serves."""
    folder = tmp_path_factory.mktemp("toy")
    source = folder / "toy.onnx"
    source.write_bytes(toy_onnx(toy_card()))
    return Repository(folder / "models").publish(toy_card(), {"model.onnx": source})


@pytest.fixture(scope="session")
def client(toy_package: Package) -> Iterator[TestClient]:
    """A client of one application for all tests. They must not change its repository."""
    with serving(Repository(toy_package.path.parents[1])) as client:
        yield client
