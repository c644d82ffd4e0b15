from __future__ import annotations

import torch

from model_zoo.profile import profile
from model_zoo.registry import build


def test_profile_counts_parameters_and_scales_with_area() -> None:
    detector = build("yolov5-test").eval()
    counted = profile(detector)
    assert counted.params == sum(p.numel() for p in detector.parameters())
    height, width = detector.input_spec.size
    doubled = profile(detector, (2 * height, 2 * width))
    assert doubled.params == counted.params
    assert doubled.gflops == 4 * counted.gflops
    assert not any(module._forward_hooks for module in detector.modules())


def test_profile_leaves_the_detector_on_its_device() -> None:
    detector = build("yolov5-test").eval()
    profile(detector)
    assert {p.device for p in detector.parameters()} == {torch.device("cpu")}
