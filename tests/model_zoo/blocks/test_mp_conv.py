"""Downsampling of YOLOv7."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.blocks.mp_conv import DownC, MPConv
from tests.model_zoo.batch_norms import randomize


@pytest.mark.parametrize(("block", "hidden"), [(MPConv(6, 8), 4), (DownC(6, 8), 6)])
def test_strided_path_precedes_pooled_path(block: MPConv, hidden: int) -> None:
    assert block.conv1.conv.out_channels == hidden
    y = randomize(block)(x := torch.randn(1, 6, 8, 10))
    assert y.shape == (1, 8, 4, 5)
    torch.testing.assert_close(y[:, :4], block.conv2(block.conv1(x)))
    torch.testing.assert_close(y[:, 4:], block.conv3(nn.functional.max_pool2d(x, 2)))
