"""Cross-stage-partial pyramid pooling of YOLOv7 (arXiv:2207.02696), after Scaled-YOLOv4 (arXiv:2011.08036)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv
from model_zoo.blocks.darknet import PyramidPool, leaky


class SPPCSPC(nn.Module):
    """Pool one path over windows of 5, 9 and 13 between convolutions, and join it with a 1x1 bypass."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = Conv(in_channels, out_channels, 1)
        self.conv2 = Conv(in_channels, out_channels, 1)
        self.conv3 = Conv(out_channels, out_channels, 3)
        self.conv4 = Conv(out_channels, out_channels, 1)
        self.pools = nn.ModuleList(nn.MaxPool2d(window, 1, window // 2) for window in (5, 9, 13))
        self.conv5 = Conv(4 * out_channels, out_channels, 1)
        self.conv6 = Conv(out_channels, out_channels, 3)
        self.conv7 = Conv(2 * out_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        path = self.conv4(self.conv3(self.conv1(x)))
        path = torch.cat([path, *(pool(path) for pool in self.pools)], dim=1)
        path = self.conv6(self.conv5(path))
        return self.conv7(torch.cat([path, self.conv2(x)], dim=1))


class TinySPPCSPC(nn.Module):
    """SPPCSPC of YOLOv7-tiny: only 1x1 convolutions, leaky, largest window first."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.around = Conv(in_channels, out_channels, 1, activation=leaky)
        self.before = Conv(in_channels, out_channels, 1, activation=leaky)
        self.pool = PyramidPool()
        self.after = Conv(4 * out_channels, out_channels, 1, activation=leaky)
        self.join = Conv(2 * out_channels, out_channels, 1, activation=leaky)

    def forward(self, x: Tensor) -> Tensor:
        path = self.after(self.pool(self.before(x)))
        return self.join(torch.cat([path, self.around(x)], dim=1))
