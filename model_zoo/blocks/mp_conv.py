"""Downsampling of YOLOv7 (arXiv:2207.02696): a strided convolution in parallel with a max pool."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv


class MPConv(nn.Module):
    """Halve the map in two ways and join them: cat(conv2(conv1(x)), conv3(pool(x))), half of the channels each.

    `hidden` is the number of channels between the 1x1 and the strided 3x3 convolution, by default half the outputs.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden: int | None = None) -> None:
        super().__init__()
        half = out_channels // 2
        hidden = half if hidden is None else hidden
        self.conv1 = Conv(in_channels, hidden, 1)
        self.conv2 = Conv(hidden, half, 3, 2)
        self.conv3 = Conv(in_channels, half, 1)
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv2(self.conv1(x)), self.conv3(self.pool(x))], dim=1)


class DownC(MPConv):
    """MPConv of the larger models, whose first convolution keeps all channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, hidden=in_channels)
