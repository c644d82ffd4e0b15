"""Averaged weights, compared with reference values of the original programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny_models import toy_detector
from training.loop.ema import AveragedDetector


@pytest.mark.parametrize(("name", "decay"), [("yolov5", 0.9999), ("yolox", 0.9998)])
def test_average_of_weights_and_running_statistics_equals_the_reference(name: str, decay: float, shared: Path) -> None:
    arrays = np.load(shared / "parity" / "training" / "schedules" / "e30.npz")
    detector = toy_detector().double()
    stem = detector.backbone.stem
    weights, means = torch.from_numpy(arrays["ema_weight_in"]), torch.from_numpy(arrays["ema_mean_in"])
    stem.conv.weight = torch.nn.Parameter(weights[0].clone())
    stem.bn.register_buffer("running_mean", means[0].clone())
    average = AveragedDetector(detector, decay, ramp=2000)
    averaged = average.detector.backbone.stem
    for step in range(1, len(weights)):
        with torch.no_grad():
            stem.conv.weight.copy_(weights[step])
        stem.bn.running_mean.copy_(means[step])
        average.update()
        np.testing.assert_allclose(averaged.conv.weight, arrays[f"ema_{name}_weight"][step - 1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(averaged.bn.running_mean, arrays[f"ema_{name}_mean"][step - 1], rtol=0, atol=1e-9)


def test_integer_buffers_are_copied_and_anchors_kept() -> None:
    detector = toy_detector()
    average = AveragedDetector(detector, 0.9999, 2000)
    detector.backbone.stem.bn.num_batches_tracked += 7
    average.update()
    assert int(average.detector.backbone.stem.bn.num_batches_tracked) == 7
    assert torch.equal(average.detector.head.anchors, detector.head.anchors)


def test_zero_decay_copies_the_weights() -> None:
    detector = toy_detector()
    average = AveragedDetector(detector, 0.0, 2000)
    torch.nn.init.normal_(detector.backbone.stem.conv.weight)
    average.update()
    assert torch.equal(average.detector.backbone.stem.conv.weight, detector.backbone.stem.conv.weight)


def test_averaged_detector_is_in_evaluation_mode_without_gradients() -> None:
    detector = toy_detector().train()
    average = AveragedDetector(detector, 0.9999, 2000).detector
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in detector.parameters())
