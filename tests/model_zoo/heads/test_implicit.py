"""Heads of YOLOv7: implicit knowledge and auxiliary heads."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model_zoo.blocks.conv import Conv
from model_zoo.detector import Detector
from model_zoo.heads.implicit import AuxiliaryHead, ImplicitConv
from model_zoo.registry import build
from tests.model_zoo.batch_norms import randomize


def on_meta(variant: str, num_classes: int | None = None) -> Detector:
    with torch.device("meta"):
        return build(variant, num_classes)


@pytest.fixture
def p6() -> Detector:
    torch.manual_seed(0)
    return randomize(build("yolov7-p6-test", num_classes=3))


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_implicit_knowledge_folds_into_the_convolution(inputs: int, outputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    conv = ImplicitConv(inputs, outputs, 1).requires_grad_(False)
    conv.add.normal_()
    conv.multiply.normal_()
    x = torch.randn(2, inputs, 5, 7)
    fused = conv.fuse()
    assert type(fused) is nn.Conv2d
    torch.testing.assert_close(fused(x), conv(x), rtol=1e-5, atol=1e-5)


def test_initial_implicit_knowledge() -> None:
    torch.manual_seed(0)
    conv = ImplicitConv(4000, 4000, 1).requires_grad_(False)
    for values, mean in ((conv.add, 0.0), (conv.multiply, 1.0)):
        assert float(values.mean()) == pytest.approx(mean, abs=2e-3)
        assert float(values.std()) == pytest.approx(0.02, rel=0.1)


def test_auxiliary_maps_follow_the_lead_in_training() -> None:
    detector = on_meta("yolov7-w6", 2).train()
    shapes = [tuple(m.shape) for m in detector(torch.empty(1, 3, 128, 192, device="meta"))]
    assert shapes == 2 * [(1, 3, 128 // s, 192 // s, 7) for s in (8, 16, 32, 64)]


def test_decoding_uses_the_lead_in_both_modes(p6: Detector) -> None:
    x = torch.rand(1, 3, 64, 128)
    maps = p6(x)
    boxes, scores = p6.forward_decoded(x)
    p6.head.train()  # batch normalization stays in evaluation mode
    both = p6(x)
    assert (len(maps), len(both)) == (4, 8)
    for expected, lead, auxiliary in zip(maps, both, both[4:], strict=False):
        torch.testing.assert_close(lead, expected, rtol=0, atol=0)
        assert auxiliary.shape == lead.shape
        assert not torch.allclose(auxiliary, lead)
    p6.head.auxiliary.eval()
    torch.testing.assert_close(p6.forward_decoded(x), (boxes, scores), rtol=0, atol=0)


def test_deployed_form_has_no_auxiliary_heads(p6: Detector) -> None:
    deployed = p6.deploy()
    assert not any("auxiliary" in name for name, _ in deployed.named_parameters())
    assert len(p6.head.auxiliary) == 4
    x = torch.rand(1, 3, 64, 128)
    assert len(deployed.train()(x)) == 4
    torch.testing.assert_close(deployed.forward_decoded(x), p6.forward_decoded(x), rtol=1e-4, atol=1e-3)


def test_auxiliary_heads_use_the_top_down_maps() -> None:
    detector = on_meta("yolov7-w6")
    assert isinstance(detector.head, AuxiliaryHead)
    convs = [branch[0] for branch in detector.head.auxiliary]
    assert all(isinstance(conv, Conv) and conv.conv.kernel_size == (3, 3) for conv in convs)
    assert [(c.conv.in_channels, c.conv.out_channels) for c in convs] == [
        *((128, 320), (256, 640), (384, 960), (512, 1280)),
    ]


def test_initial_biases() -> None:
    """Biases have the default noise of +-1 / sqrt(fan). With one class, YOLOv5's margin would give log(60000)."""
    head = build("yolov7-p6-test", num_classes=1).requires_grad_(False).head
    for convs in (head.predict, [branch[1] for branch in head.auxiliary]):
        for conv, stride in zip(convs, head.strides, strict=True):
            bias, noise = conv.bias.view(3, 6), 1 / math.sqrt(conv.in_channels)
            assert (bias[:, 4] - math.log(8 / (640 / stride) ** 2)).abs().max() <= noise
            assert (bias[:, 5] - math.log(60)).abs().max() <= noise
