from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from model_zoo.blocks.conv import Conv, fold_batch_norm
from model_zoo.blocks.focus import Focus, space_to_depth
from model_zoo.blocks.scaling import scaled_depth, scaled_width
from model_zoo.blocks.spp import SPP, SPPF
from tests.model_zoo.batch_norms import randomize


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("eps", "dilation"), [(1e-3, 1), (1e-5, 2)])
def test_folding_keeps_the_numbers(groups, bias, eps, dilation):
    torch.manual_seed(0)
    kind = {"groups": groups, "dilation": dilation, "bias": bias, "eps": eps}
    block = randomize(Conv(8, 16, 3, 2, **kind, activation=partial(nn.LeakyReLU, 0.1)))
    x = torch.randn(2, 8, 13, 17)
    before = block(x)
    fused = block.fuse()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    torch.testing.assert_close(fused(x), before, rtol=0, atol=1e-5)
    torch.testing.assert_close(fused.fuse()(x), before, rtol=0, atol=1e-5)


def test_folding_keeps_dtype():
    block = randomize(Conv(4, 8, 3)).half()
    assert fold_batch_norm(block.conv, block.bn).weight.dtype == torch.float16


def test_the_lineage_normalizes_with_its_own_constants():
    assert (Conv(1, 1).bn.eps, Conv(1, 1).bn.momentum) == (1e-3, 0.03)


def test_space_to_depth_takes_rows_first():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    assert space_to_depth(x).flatten().tolist() == [0, 2, 1, 3]


def test_focus_deploys_as_one_6x6_convolution():
    torch.manual_seed(0)
    focus = randomize(Focus(3, 8))
    x = torch.randn(1, 3, 32, 48)
    before, fused = focus(x), focus.fuse()
    assert fused.conv.kernel_size == (6, 6)
    torch.testing.assert_close(fused(x), before, rtol=0, atol=1e-5)


def test_sppf_equals_spp():
    torch.manual_seed(0)
    fast, plain = randomize(SPPF(8, 8)), SPP(8, 8).eval()
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(1, 8, 20, 20)
    torch.testing.assert_close(fast(x), plain(x), rtol=0, atol=0)


def test_scaling_rounds_width_up_and_depth_half_to_even():
    assert [scaled_width(c, 0.25) for c in (64, 100, 1024)] == [16, 32, 256]
    assert [scaled_depth(n, 0.25) for n in (1, 3, 18)] == [1, 1, 4]
