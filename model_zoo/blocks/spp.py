"""Spatial pyramid pooling (arXiv:1406.4729), in the form of YOLOv3-SPP: several windows, one resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory


class SPP(nn.Module):
    """Join a map with its max pools over three windows, between two 1x1 convolutions built by `conv`."""

    def __init__(
        self, in_channels: int, out_channels: int, windows: Sequence[int] = (5, 9, 13), *, conv: ConvFactory = Conv
    ) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.conv1 = conv(in_channels, hidden, 1)
        self.conv2 = conv(hidden * (len(windows) + 1), out_channels, 1)
        self.pools = nn.ModuleList(nn.MaxPool2d(window, 1, window // 2) for window in windows)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(pool(x) for pool in self.pools)], dim=1))


class SPPF(nn.Module):
    """SPP with windows of 5, 9 and 13, computed as three chained windows of 5: same result, less work."""

    def __init__(self, in_channels: int, out_channels: int, *, conv: ConvFactory = Conv) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.conv1 = conv(in_channels, hidden, 1)
        self.conv2 = conv(hidden * 4, out_channels, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        pool5 = self.pool(x)
        pool9 = self.pool(pool5)
        return self.conv2(torch.cat([x, pool5, pool9, self.pool(pool9)], dim=1))
