"""Pyramid pooling of YOLOv7."""

from __future__ import annotations

import torch
from torch import nn

from model_zoo.blocks.sppcspc import SPPCSPC
from tests.model_zoo.batch_norms import randomize


def test_long_path_is_first() -> None:
    block = randomize(SPPCSPC(4, 6))
    block.conv7 = nn.Identity()
    x = torch.randn(1, 4, 14, 14)
    torch.testing.assert_close(block(x)[:, 6:], block.conv2(x))
