"""The proof of an exported graph finds what is wrong with it."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from model_zoo.export.errors import ExportError
from model_zoo.export.parity import Difference, pictures, verify
from tests.model_zoo.export.conftest import Exported


def changed(model: onnx.ModelProto, name: str, change: float) -> onnx.ModelProto:
    """Return a copy with one initializer multiplied."""
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    tensor = next(t for t in twin.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(tensor) * change).astype(np.float32), name))
    return twin


def test_a_true_graph_passes_with_figures(toy_file: Exported) -> None:
    report = verify(toy_file.detector, toy_file.detector.deploy(), toy_file.raw, toy_file.end_to_end)
    assert report.deploy.score < 1e-5
    assert report.file.box < 1e-5
    assert report.detections > 100
    assert 0 < report.lost < 0.5  # 256 candidates of 800 predictions


def test_a_graph_with_other_weights_is_refused(toy_file: Exported) -> None:
    raw = changed(toy_file.raw, "head.predict.0.weight", 1.01)
    with pytest.raises(ExportError, match=r"fp32 graph and the model disagree: scores within .* allowed are"):
        verify(toy_file.detector, toy_file.detector.deploy(), raw, toy_file.end_to_end)


def test_a_deployed_form_that_folds_wrongly_is_refused(toy_file: Exported) -> None:
    deployed = toy_file.detector.deploy()
    with torch.no_grad():
        deployed.backbone.stem.conv.bias.mul_(1.05)
    with pytest.raises(ExportError, match="deployed form and the trained form disagree"):
        verify(toy_file.detector, deployed, toy_file.raw, toy_file.end_to_end)


def test_a_tail_that_gives_other_detections_is_refused(toy_file: Exported) -> None:
    other = changed(toy_file.end_to_end, "head.predict.1.weight", 1.01)
    with pytest.raises(ExportError, match="detections of the contract's NMS"):
        verify(toy_file.detector, toy_file.detector.deploy(), toy_file.raw, other)


def test_predictions_that_all_score_alike_are_no_error(toy_file: Exported) -> None:
    """Fresh weights give such: there is nothing to rank, and 256 candidates hold some of 800 equals."""
    detector, raw, end_to_end = copy.deepcopy(toy_file.detector), toy_file.raw, toy_file.end_to_end
    for i, conv in enumerate(detector.head.predict):
        nn.init.zeros_(conv.weight)
        raw, end_to_end = (changed(form, f"head.predict.{i}.weight", 0.0) for form in (raw, end_to_end))
    report = verify(detector, detector.deploy(), raw, end_to_end)
    assert (report.detections, report.lost) == (0, 0.25)


def test_differences_are_told_as_shares_of_a_box() -> None:
    assert str(Difference(2e-6, 3e-5)) == "scores within 2.0e-06, boxes within 3.0e-05 (1 - IoU)"
    assert Difference(1, 2) | Difference(2, 1) == Difference(2, 2)


def test_pictures_are_the_same_every_time() -> None:
    first, second = (pictures((64, 96), 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.std(axis=(1, 2, 3)).min() > 10
