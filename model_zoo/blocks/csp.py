"""Cross-stage-partial blocks of YOLOv5 and YOLOX (CSPNet: arXiv:1911.11929)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory


class Bottleneck(nn.Module):
    """A 1x1 and a 3x3 convolution with an optional shortcut. `spatial` builds the 3x3 convolution."""

    def __init__(self, channels: int, *, shortcut: bool = True, spatial: ConvFactory = Conv) -> None:
        super().__init__()
        self.conv1 = Conv(channels, channels, 1)
        self.conv2 = spatial(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Cross-stage-partial block with three 1x1 convolutions (also "CSPLayer").

    Half of the channels pass `depth` bottlenecks, half bypass them: conv3(cat(blocks(conv1(x)), conv2(x))).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int,
        *,
        shortcut: bool = True,
        spatial: ConvFactory = Conv,
    ) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.conv1 = Conv(in_channels, hidden, 1)
        self.conv2 = Conv(in_channels, hidden, 1)
        self.conv3 = Conv(2 * hidden, out_channels, 1)
        self.blocks = nn.Sequential(*(Bottleneck(hidden, shortcut=shortcut, spatial=spatial) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(torch.cat([self.blocks(self.conv1(x)), self.conv2(x)], dim=1))
