"""Checks of variants that follow Darknet, without allocating their weights."""

from __future__ import annotations

import pytest
import torch

from model_zoo.class_names import COCO_NAMES, VOC_NAMES
from model_zoo.detector import Detector
from model_zoo.profile import profile
from model_zoo.registry import build


def on_meta(variant: str) -> Detector:
    with torch.device("meta"):
        return build(variant)


def check_size(variant: str, params: int, gflops: float) -> None:
    """Compare parameters and 1e9 operations, as Darknet prints them, rounded layer by layer."""
    detector = on_meta(variant)
    measured = profile(detector)
    assert measured.params == params
    assert measured.gflops == pytest.approx(gflops, abs=0.03)
    normalized = sum(m.num_features for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert profile(detector.deploy()).params == params - normalized


def check_conventions(variant: str) -> None:
    """Check the eps of batch norms, and the class names."""
    detector = on_meta(variant)
    assert {m.eps for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-5}
    assert detector.class_names == (VOC_NAMES if variant.endswith("-voc") else COCO_NAMES)
