"""Re-parameterization of parallel branches."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model_zoo.blocks.reparam import RepConv
from tests.model_zoo.batch_norms import randomize


@settings(max_examples=25)
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
