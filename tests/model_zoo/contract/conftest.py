"""A model card to start from, and property tests that no clock can fail."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from model_zoo.contract.card import Metric, ModelCard, WeightsOrigin
from model_zoo.contract.letterbox import LetterboxPolicy

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


@pytest.fixture(scope="session")
def card() -> ModelCard:
    """A card that fills every field with something other than its default."""
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
