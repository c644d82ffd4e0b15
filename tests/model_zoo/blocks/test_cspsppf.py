"""Pyramid pooling of YOLOv6 3.0."""

from __future__ import annotations

import torch
from torch import nn

from model_zoo.blocks.cspsppf import SimCSPSPPF
from tests.model_zoo.batch_norms import randomize


def test_short_path_is_first() -> None:
    block = randomize(SimCSPSPPF(4, 6))
    block.conv7 = nn.Identity()
    x = torch.randn(1, 4, 14, 14)
    torch.testing.assert_close(block(x)[:, :3], block.conv2(x))
