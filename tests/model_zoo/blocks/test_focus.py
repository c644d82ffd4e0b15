"""Focus stem and its deployed form."""

from __future__ import annotations

import torch

from model_zoo.blocks.focus import Focus, space_to_depth
from tests.model_zoo.batch_norms import randomize


def test_space_to_depth_orders_rows_first():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    assert space_to_depth(x).flatten().tolist() == [0, 2, 1, 3]


def test_focus_deploys_as_one_6x6_convolution():
    torch.manual_seed(0)
    focus = randomize(Focus(3, 8))
    x = torch.randn(1, 3, 32, 48)
    before, fused = focus(x), focus.fuse()
    assert fused.conv.kernel_size == (6, 6)
    torch.testing.assert_close(fused(x), before, rtol=0, atol=1e-5)
