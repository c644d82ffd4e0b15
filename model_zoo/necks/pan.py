"""Path aggregation (PANet, arXiv:1803.01534) with C3 blocks: the neck of YOLOv5 and YOLOX."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory
from model_zoo.blocks.csp import C3


class UpMerge(nn.Module):
    """Upsample a deep map, join it with the backbone's map of that size, and merge both."""

    def __init__(self, deep: int, skip: int, out_channels: int, depth: int, *, spatial: ConvFactory = Conv) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.merge = C3(deep + skip, out_channels, depth, shortcut=False, spatial=spatial)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return self.merge(torch.cat([self.upsample(deep), skip], dim=1))


class DownMerge(nn.Module):
    """Downsample a shallow map, join it with the top-down map of that size, and merge both."""

    def __init__(self, shallow: int, skip: int, out_channels: int, depth: int, *, spatial: ConvFactory = Conv) -> None:
        super().__init__()
        self.down = spatial(shallow, shallow, 3, 2)
        self.merge = C3(shallow + skip, out_channels, depth, shortcut=False, spatial=spatial)

    def forward(self, shallow: Tensor, skip: Tensor) -> Tensor:
        return self.merge(torch.cat([self.down(shallow), skip], dim=1))


class PAN(nn.Module):
    """Top-down and bottom-up path over three levels: (c3, c4, c5) -> (p3, p4, p5) of the same channels and sizes.

    Args:
        channels: Channels of the three levels.
        depth: Bottlenecks per merge.
        spatial: Builds the convolutions larger than 1x1.
    """

    def __init__(self, channels: Sequence[int], depth: int, *, spatial: ConvFactory = Conv) -> None:
        super().__init__()
        w3, w4, w5 = channels
        self.reduce5 = Conv(w5, w4)
        self.up4 = UpMerge(w4, w4, w4, depth, spatial=spatial)
        self.reduce4 = Conv(w4, w3)
        self.up3 = UpMerge(w3, w3, w3, depth, spatial=spatial)
        self.down4 = DownMerge(w3, w3, w4, depth, spatial=spatial)
        self.down5 = DownMerge(w4, w4, w5, depth, spatial=spatial)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        c3, c4, c5 = maps
        t5 = self.reduce5(c5)
        t4 = self.reduce4(self.up4(t5, c4))
        p3 = self.up3(t4, c3)
        p4 = self.down4(p3, t4)
        p5 = self.down5(p4, t5)
        return p3, p4, p5
