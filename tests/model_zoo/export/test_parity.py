"""Parity checks accept correct graphs and reject wrong ones."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from model_zoo.export.errors import ExportError
from model_zoo.export.parity import Difference, verify
from tests.exports import ExportedModel


def scaled(model: onnx.ModelProto, name: str, factor: float) -> onnx.ModelProto:
    """Return a copy with one initializer multiplied by a factor."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    tensor = next(t for t in copied.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(tensor) * factor).astype(np.float32), name))
    return copied


def test_correct_graph_passes(tiny: ExportedModel) -> None:
    report = verify(tiny.detector, tiny.detector.deploy(), tiny.raw, tiny.end_to_end)
    assert report.deploy.score < 1e-5
    assert report.file.box < 1e-5
    assert report.detections > 100
    assert 0 < report.dropped_score < 0.5  # 256 candidates of 800 predictions


def test_graph_with_other_weights_is_rejected(tiny: ExportedModel) -> None:
    raw = scaled(tiny.raw, "head.predict.0.weight", 1.01)
    with pytest.raises(ExportError, match=r"fp32 graph and the model disagree: scores within .* allowed are"):
        verify(tiny.detector, tiny.detector.deploy(), raw, tiny.end_to_end)


def test_wrong_deployed_form_is_rejected(tiny: ExportedModel) -> None:
    deployed = tiny.detector.deploy()
    with torch.no_grad():
        deployed.backbone.stem.conv.bias.mul_(1.05)
    with pytest.raises(ExportError, match="deployed form and the trained form disagree"):
        verify(tiny.detector, deployed, tiny.raw, tiny.end_to_end)


def test_graph_with_other_detections_is_rejected(tiny: ExportedModel) -> None:
    other = scaled(tiny.end_to_end, "head.predict.1.weight", 1.01)
    with pytest.raises(ExportError, match="detections of the contract's NMS"):
        verify(tiny.detector, tiny.detector.deploy(), tiny.raw, other)


def test_equal_scores_of_all_predictions_are_accepted(tiny: ExportedModel) -> None:
    """Untrained weights can score all 800 predictions equally, of which 256 become candidates."""
    detector, raw, end_to_end = copy.deepcopy(tiny.detector), tiny.raw, tiny.end_to_end
    for i, conv in enumerate(detector.head.predict):
        nn.init.zeros_(conv.weight)
        raw, end_to_end = (scaled(form, f"head.predict.{i}.weight", 0.0) for form in (raw, end_to_end))
    report = verify(detector, detector.deploy(), raw, end_to_end)
    assert (report.detections, report.dropped_score) == (0, 0.25)


def test_difference_text_and_maximum() -> None:
    assert str(Difference(2e-6, 3e-5)) == "scores within 2.0e-06, boxes within 3.0e-05 (1 - IoU)"
    assert Difference(1, 2) | Difference(2, 1) == Difference(2, 2)
