"""Convolution with batch normalization: fused form and constants."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from model_zoo.blocks.conv import Conv, fold_batch_norm
from tests.model_zoo.batch_norms import randomize


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("eps", "dilation"), [(1e-3, 1), (1e-5, 2)])
def test_fused_form_equals_the_block(groups, bias, eps, dilation):
    torch.manual_seed(0)
    kind = {"groups": groups, "dilation": dilation, "bias": bias, "eps": eps}
    block = randomize(Conv(8, 16, 3, 2, **kind, activation=partial(nn.LeakyReLU, 0.1)))
    x = torch.randn(2, 8, 13, 17)
    before = block(x)
    fused = block.fuse()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    torch.testing.assert_close(fused(x), before, rtol=0, atol=1e-5)
    torch.testing.assert_close(fused.fuse()(x), before, rtol=0, atol=1e-5)


def test_folding_keeps_the_dtype():
    block = randomize(Conv(4, 8, 3)).half()
    assert fold_batch_norm(block.conv, block.bn).weight.dtype == torch.float16


def test_batch_norm_constants():
    assert (Conv(1, 1).bn.eps, Conv(1, 1).bn.momentum) == (1e-3, 0.03)
