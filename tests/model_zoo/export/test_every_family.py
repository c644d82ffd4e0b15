"""The tiny variant of every family exports, agrees with its graph in ONNX Runtime, and builds as a TensorRT plan."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_zoo.export.card import build_export_card
from model_zoo.export.model_file import write_model
from model_zoo.export.tensorrt import PlanOptions, build_plan
from model_zoo.registry import build, variants


@pytest.mark.slow
@pytest.mark.parametrize("variant", [name for name in variants() if name.endswith("-test")])
def test_tiny_variants_export_and_build(variant: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    torch.manual_seed(0)
    detector = build(variant, num_classes=3).eval()
    if detector.input_spec.dynamic:
        detector.resize((4 * detector.stride, 6 * detector.stride))
    card = build_export_card(detector, variant)
    report = write_model(detector, card, tmp_path / "model.onnx")
    assert report.detections > 0
    assert build_plan(tmp_path / "model.onnx", card, PlanOptions(batch=(1, 1, 2), compute_capabilities=("8.9",)))
