"""Focus: the stem of YOLOv5 up to v5.0 and of YOLOX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, fixed_conv

OFFSETS = ((0, 0), (1, 0), (0, 1), (1, 1))  # (row, column) of each slice; row varies fastest


def space_to_depth(x: Tensor) -> Tensor:
    """Stack the four phases of 2x2 pixels as channels: (B, C, H, W) -> (B, 4C, H / 2, W / 2)."""
    return torch.cat([x[..., row::2, column::2] for row, column in OFFSETS], dim=1)


class Focus(nn.Module):
    """Space to depth and a 3x3 convolution. The deployed form is the equivalent 6x6 convolution of stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = Conv(4 * in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(space_to_depth(x))

    def fuse(self) -> nn.Module:
        """Return the equivalent 6x6 convolution of stride 2, with batch normalization folded in."""
        self.conv.fuse()
        inner = self.conv.conv
        assert inner.bias is not None
        weight = inner.weight.new_zeros(inner.out_channels, inner.in_channels // 4, 6, 6)
        for part, (row, column) in zip(inner.weight.chunk(4, dim=1), OFFSETS, strict=True):
            weight[:, :, row::2, column::2] = part
        self.conv.conv = fixed_conv(weight, inner.bias, stride=2, padding=2)
        return self.conv
