"""Bi-directional concatenation of YOLOv6 3.0."""

from __future__ import annotations

import torch
from torch import nn

from model_zoo.blocks.bi_fusion import BiFusion
from tests.model_zoo.batch_norms import randomize


def test_maps_are_joined_from_deep_to_shallow() -> None:
    block = randomize(BiFusion(4, 6, 5))
    block.conv3 = nn.Identity()
    deep, same, shallow = torch.randn(1, 4, 3, 5), torch.randn(1, 6, 6, 10), torch.randn(1, 5, 12, 20)
    parts = block(deep, same, shallow).split(4, dim=1)
    expected = (block.upsample(deep), block.conv1(same), block.down(block.conv2(shallow)))
    torch.testing.assert_close(parts, expected)
