"""Cross-stage-partial pyramid pooling of YOLOv6 3.0 (arXiv:2301.05586, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo.blocks.rep_block import SimConv


class SimCSPSPPF(nn.Module):
    """Pool one path over windows of 5, 9 and 13 between convolutions, and join it with a 1x1 bypass.

    YOLOv7's SPPCSPC with ReLU, half the channels, chained windows, and the short path first.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.conv1 = SimConv(in_channels, hidden, 1)
        self.conv2 = SimConv(in_channels, hidden, 1)
        self.conv3 = SimConv(hidden, hidden, 3)
        self.conv4 = SimConv(hidden, hidden, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.conv5 = SimConv(4 * hidden, hidden, 1)
        self.conv6 = SimConv(hidden, hidden, 3)
        self.conv7 = SimConv(2 * hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        path = self.conv4(self.conv3(self.conv1(x)))
        pool5 = self.pool(path)
        pool9 = self.pool(pool5)
        path = self.conv6(self.conv5(torch.cat([path, pool5, pool9, self.pool(pool9)], dim=1)))
        return self.conv7(torch.cat([self.conv2(x), path], dim=1))
