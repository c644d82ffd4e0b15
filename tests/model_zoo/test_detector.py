"""Properties of every family, checked on its tiny variants (`<family>-test`)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.profile import profile
from model_zoo.registry import build, variants

TINY = [name for name in variants() if name.endswith("-test")]


@pytest.fixture(params=TINY)
def detector(request) -> Detector:
    torch.manual_seed(0)
    detector = build(request.param, num_classes=3)
    for norm in (m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.running_mean.normal_(std=0.3)
        norm.running_var.uniform_(0.5, 2)
    return detector.eval()


def images_for(detector: Detector) -> torch.Tensor:
    spec = detector.input_spec
    size = (2 * detector.stride, 3 * detector.stride) if spec.dynamic else spec.size
    return torch.rand(2, 3, *size) / (255 * spec.scale)


def test_test_variants_are_tiny(detector):
    assert profile(detector).params < 150_000


@torch.inference_mode()
def test_shapes_of_boxes_and_scores(detector):
    boxes, scores = detector.forward_decoded(images_for(detector))
    assert boxes.shape == (2, scores.shape[1], 4)
    assert scores.shape[2] == 3
    assert boxes.dtype == scores.dtype == torch.float32
    assert bool(((scores >= 0) & (scores <= 1)).all())


@torch.inference_mode()
def test_deployed_form_is_equivalent(detector):
    x = images_for(detector)
    before, deployed = detector.forward_decoded(x), detector.deploy()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in deployed.modules())
    for got, expected in zip(deployed.forward_decoded(x), before, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-3)


def test_deploy_does_not_change_the_detector(detector):
    state = {key: value.clone() for key, value in detector.train().state_dict().items()}
    trainable = [p.requires_grad for p in detector.parameters()]
    deployed = detector.deploy()
    assert detector.training
    assert not deployed.training
    assert not any(p.requires_grad for p in deployed.parameters())
    assert [p.requires_grad for p in detector.parameters()] == trainable
    assert any(trainable)
    for key, value in detector.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_every_parameter_has_a_gradient(detector):
    maps = detector.train()(images_for(detector))
    sum((m.float() ** 2).mean() for m in maps).backward()
    unused = [name for name, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []


@pytest.mark.slow
def test_exported_program_accepts_all_sizes(detector):
    if not detector.input_spec.dynamic:
        pytest.skip("the network has a fixed size")

    class Decoded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = detector

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.detector.forward_decoded(x)

    step = detector.stride
    height, width = (step * torch.export.Dim(side, min=2, max=40) for side in ("h", "w"))
    shapes = ({0: torch.export.Dim("batch", min=1, max=64), 2: height, 3: width},)
    with torch.no_grad():
        program = torch.export.export(Decoded(), (torch.rand(2, 3, 2 * step, 3 * step),), dynamic_shapes=shapes)
        x = torch.rand(3, 3, 4 * step, 2 * step)
        for got, expected in zip(program.module()(x), detector.forward_decoded(x), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-3)


def test_resize_checks_the_size(detector):
    step, spec = detector.stride, detector.input_spec
    with pytest.raises(LineageError, match="expected"):
        detector.resize((step + 1, step))
    with pytest.raises(LineageError, match="expected"):
        detector.resize((0, 0))
    assert detector.input_spec == spec
    detector.resize(spec.size if not spec.dynamic else (step, 2 * step))
    assert detector.input_spec.size == (spec.size if not spec.dynamic else (step, 2 * step))
