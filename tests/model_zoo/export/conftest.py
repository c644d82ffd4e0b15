"""Fixtures of the export tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.export.int8_maps import Peaks
from model_zoo.export.layer_statistics import measure_peaks
from model_zoo.export.synthetic_images import ImageBatch, synthetic_images
from tests.exports import ExportedModel, tiny_export
from tests.model_zoo.export.graphs import DOWN, STEM


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache folder for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LINEAGE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """The exported tiny detector, float32 with a dynamic size."""
    return tiny_export(tmp_path_factory)


@pytest.fixture(scope="session")
def images() -> list[ImageBatch]:
    """Calibration images."""
    return [image[None] for image in synthetic_images((128, 160), 5, seed=3)]


@pytest.fixture(scope="session")
def peaks(tiny: ExportedModel, images: list[ImageBatch]) -> Peaks:
    return measure_peaks(tiny.detector.deploy(), [STEM, DOWN], images)
