"""YOLOv7: size and work of every variant, blocks that fold, and heads that are there in training alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model_zoo.blocks.conv import Conv
from model_zoo.blocks.elan import EELAN, ELAN
from model_zoo.blocks.mp_conv import DownC, MPConv
from model_zoo.blocks.reparam import RepConv
from model_zoo.blocks.sppcspc import SPPCSPC
from model_zoo.detector import Detector
from model_zoo.heads.implicit import AuxiliaryHead, ImplicitConv
from model_zoo.profile import profile
from model_zoo.registry import build, variants
from tests.model_zoo.batch_norms import randomize

# Published: parameters of the training form, of the deployed form, GFLOPs deployed and in training, at its own size.
PUBLISHED = {
    "yolov7-tiny": (6_228_762, 6_219_709, 13.70, 13.70),
    "yolov7": (37_622_682, 36_905_341, 104.51, 105.77),
    "yolov7x": (71_347_394, 71_311_741, 189.67, 189.67),
    "yolov7-w6": (82_312_436, 70_394_300, 359.72, 420.11),
    "yolov7-e6": (111_898_292, 97_202_940, 514.43, 588.09),
    "yolov7-d6": (154_709_364, 133_757_052, 701.74, 806.06),
    "yolov7-e6e": (166_408_884, 151_687_420, 842.18, 915.85),
}
SIZES = {name: 1280 if name.endswith(("6", "6e")) else 640 for name in PUBLISHED}


def on_meta(variant: str, num_classes: int | None = None) -> Detector:
    with torch.device("meta"):
        return build(variant, num_classes)


def test_no_variant_goes_uncounted() -> None:
    assert {*PUBLISHED, "yolov7-test", "yolov7-p6-test"} == set(variants("yolov7"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_and_gflops_are_the_published_ones(variant: str) -> None:
    params, deployed_params, gflops, training_gflops = PUBLISHED[variant]
    detector = on_meta(variant)
    training, deployed = profile(detector), profile(detector.deploy())
    assert detector.input_spec.size == (SIZES[variant], SIZES[variant])
    assert (training.params, deployed.params) == (params, deployed_params)
    assert training.gflops == pytest.approx(training_gflops, abs=0.006)
    assert deployed.gflops == pytest.approx(gflops, abs=0.006)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_activations_and_normalization_are_the_generations(variant: str) -> None:
    modules = list(on_meta(variant).modules())
    assert {(m.eps, m.momentum) for m in modules if isinstance(m, nn.BatchNorm2d)} == {(1e-3, 0.03)}
    activations = {repr(m) for m in modules if isinstance(m, nn.SiLU | nn.LeakyReLU | nn.ReLU)}
    assert activations == {"LeakyReLU(negative_slope=0.1)" if variant == "yolov7-tiny" else "SiLU()"}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_re_parameterized_convolutions_are_yolov7s_alone(variant: str) -> None:
    rep_convs = [m for m in on_meta(variant).modules() if isinstance(m, RepConv)]
    assert len(rep_convs) == (3 if variant == "yolov7" else 0)
    assert all(block.identity is None for block in rep_convs)


# --- blocks --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([(6, 6), (6, 4)]), st.sampled_from([1, 2]), st.integers(0, 2**31))
def test_parallel_branches_fold_into_one_convolution(channels: tuple[int, int], stride: int, seed: int) -> None:
    torch.manual_seed(seed)
    block = randomize(RepConv(*channels, stride))
    assert (block.identity is not None) == (channels == (6, 6) and stride == 1)
    x = torch.randn(2, 6, 9, 11)
    before, fused = block(x), block.fuse()
    assert [m.kernel_size for m in fused.modules() if isinstance(m, nn.Conv2d)] == [(3, 3)]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    torch.testing.assert_close(fused(x), before, rtol=1e-5, atol=2e-5)


@settings(max_examples=25, deadline=None)
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


def test_implicit_knowledge_begins_near_nothing() -> None:
    torch.manual_seed(0)
    conv = ImplicitConv(4000, 4000, 1).requires_grad_(False)
    for values, mean in ((conv.add, 0.0), (conv.multiply, 1.0)):
        assert float(values.mean()) == pytest.approx(mean, abs=2e-3)
        assert float(values.std()) == pytest.approx(0.02, rel=0.1)


def test_an_elan_joins_what_it_made_last_first() -> None:
    elan = randomize(ELAN(3, 4, 5, blocks=3, depth=2, narrowing=2))
    elan.join = nn.Identity()
    x = torch.randn(1, 3, 6, 6)
    last, middle, first, right, left = elan(x).split([2, 2, 2, 4, 4], dim=1)
    torch.testing.assert_close((left, right), (elan.left(x), elan.right(x)))
    torch.testing.assert_close(first, elan.blocks[0](right))
    torch.testing.assert_close((middle, last), (elan.blocks[1](first), elan.blocks[2](middle)))
    assert [len(block) for block in elan.blocks] == [2, 2, 2]


def test_an_extended_elan_is_the_sum_of_two() -> None:
    torch.manual_seed(0)
    elan = randomize(EELAN(4, 2, 6, blocks=2, depth=2))
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(elan(x), elan.first(x) + elan.second(x))
    assert not torch.equal(elan.first(x), elan.second(x))


@pytest.mark.parametrize(("block", "hidden"), [(MPConv(6, 8), 4), (DownC(6, 8), 6)])
def test_the_strided_path_comes_before_the_pooled_one(block: MPConv, hidden: int) -> None:
    assert block.conv1.conv.out_channels == hidden
    y = randomize(block)(x := torch.randn(1, 6, 8, 10))
    assert y.shape == (1, 8, 4, 5)
    torch.testing.assert_close(y[:, :4], block.conv2(block.conv1(x)))
    torch.testing.assert_close(y[:, 4:], block.conv3(nn.functional.max_pool2d(x, 2)))


def test_the_pyramid_joins_its_long_path_first() -> None:
    block = randomize(SPPCSPC(4, 6))
    block.conv7 = nn.Identity()
    x = torch.randn(1, 4, 14, 14)
    torch.testing.assert_close(block(x)[:, 6:], block.conv2(x))


# --- auxiliary heads -----------------------------------------------------------------------------------------------


@pytest.fixture
def p6() -> Detector:
    torch.manual_seed(0)
    return randomize(build("yolov7-p6-test", num_classes=3))


def test_training_shows_the_auxiliary_maps_after_the_leads() -> None:
    detector = on_meta("yolov7-w6", 2).train()
    shapes = [tuple(m.shape) for m in detector(torch.empty(1, 3, 128, 192, device="meta"))]
    assert shapes == 2 * [(1, 3, 128 // s, 192 // s, 7) for s in (8, 16, 32, 64)]


def test_predictions_come_from_the_lead_in_either_mode(p6: Detector) -> None:
    x = torch.rand(1, 3, 64, 128)
    maps = p6(x)
    boxes, scores = p6.forward_decoded(x)
    p6.head.train()  # the normalizations below stay as they are
    both = p6(x)
    assert (len(maps), len(both)) == (4, 8)
    for expected, lead, auxiliary in zip(maps, both, both[4:], strict=False):
        torch.testing.assert_close(lead, expected, rtol=0, atol=0)
        assert auxiliary.shape == lead.shape
        assert not torch.allclose(auxiliary, lead)
    p6.head.auxiliary.eval()
    torch.testing.assert_close(p6.forward_decoded(x), (boxes, scores), rtol=0, atol=0)


def test_the_deployed_form_has_no_auxiliary_heads(p6: Detector) -> None:
    deployed = p6.deploy()
    assert not any("auxiliary" in name for name, _ in deployed.named_parameters())
    assert len(p6.head.auxiliary) == 4
    x = torch.rand(1, 3, 64, 128)
    assert len(deployed.train()(x)) == 4
    torch.testing.assert_close(deployed.forward_decoded(x), p6.forward_decoded(x), rtol=1e-4, atol=1e-3)


def test_auxiliary_heads_see_the_top_down_maps() -> None:
    detector = on_meta("yolov7-w6")
    assert isinstance(detector.head, AuxiliaryHead)
    convs = [branch[0] for branch in detector.head.auxiliary]
    assert all(isinstance(conv, Conv) and conv.conv.kernel_size == (3, 3) for conv in convs)
    assert [(c.conv.in_channels, c.conv.out_channels) for c in convs] == [
        *((128, 320), (256, 640), (384, 960), (512, 1280)),
    ]


def test_every_head_begins_with_few_objects_and_a_class_margin_of_its_own() -> None:
    """Biases after the default draw of +-1 / sqrt(fan); with one class YOLOv5's margin would give log(60000)."""
    head = build("yolov7-p6-test", num_classes=1).requires_grad_(False).head
    for convs in (head.predict, [branch[1] for branch in head.auxiliary]):
        for conv, stride in zip(convs, head.strides, strict=True):
            bias, noise = conv.bias.view(3, 6), 1 / math.sqrt(conv.in_channels)
            assert (bias[:, 4] - math.log(8 / (640 / stride) ** 2)).abs().max() <= noise
            assert (bias[:, 5] - math.log(60)).abs().max() <= noise
