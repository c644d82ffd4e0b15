"""A model card, and a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.card import Metric, ModelCard, WeightsOrigin
from model_zoo.contract.letterbox import LetterboxPolicy
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository


@pytest.fixture(scope="session")
def card() -> ModelCard:
    """A card without default values."""
    return ModelCard(
        name="tiny",
        family="yolov5",
        variant="yolov5n",
        class_names=("person", "bicycle", "naïve “café”", "7"),
        input_size=(320, 640),
        stride=32,
        letterbox=LetterboxPolicy(align="center", rounding="floor", fill=128, scale_up=False),
        candidates=500,
        max_detections=100,
        precision="fp16",
        params=1_867_405,
        gflops=4.5,
        weights=WeightsOrigin(license="GPL-3.0", origin="yolov5n.pt", sha256="0" * 64),
        metrics=(Metric(name="AP", value=0.449, dataset="coco_mini val2017", date="2026-01-31"),),
        tools={"onnx": "1.19", "numpy": "2.4"},
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "source.onnx"
    path.write_bytes(b"weights" * 1000)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


@pytest.fixture
def package(repository: Repository, card: ModelCard, model: Path) -> Package:
    return repository.publish(card, {"model.onnx": model})
