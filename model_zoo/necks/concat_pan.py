"""Path aggregation of YOLOv4 (arXiv:2004.10934, section 3.4, figure 6), by concatenation instead of addition.

Modules are registered in the order of the original's layers, as weight files have no names and are read in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import ConvFactory

Group = Callable[[int, int], nn.Module]  # called with (in_channels, out_channels)


class ConcatPAN(nn.Module):
    """Top-down and bottom-up path: (c3, c4, c5) -> three maps of the same channels and sizes.

    Args:
        channels: Channels of the three levels.
        spp: Builds the group on the coarsest map.
        group: Builds the four other groups. Each outputs half of the channels of its level.
        conv: Builds the convolutions between the groups.
    """

    def __init__(self, channels: Sequence[int], *, spp: Group, group: Group, conv: ConvFactory) -> None:
        super().__init__()
        w3, w4, w5 = channels
        self.top5 = spp(w5, w5 // 2)
        self.reduce5 = conv(w5 // 2, w4 // 2, 1)
        self.lateral4 = conv(w4, w4 // 2, 1)
        self.top4 = group(w4, w4 // 2)
        self.reduce4 = conv(w4 // 2, w3 // 2, 1)
        self.lateral3 = conv(w3, w3 // 2, 1)
        self.top3 = group(w3, w3 // 2)
        self.out3 = conv(w3 // 2, w3, 3)
        self.down4 = conv(w3 // 2, w4 // 2, 3, 2)
        self.bottom4 = group(w4, w4 // 2)
        self.out4 = conv(w4 // 2, w4, 3)
        self.down5 = conv(w4 // 2, w5 // 2, 3, 2)
        self.bottom5 = group(w5, w5 // 2)
        self.out5 = conv(w5 // 2, w5, 3)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        c3, c4, c5 = maps
        t5 = self.top5(c5)
        t4 = self.top4(torch.cat([self.lateral4(c4), self.upsample(self.reduce5(t5))], dim=1))
        t3 = self.top3(torch.cat([self.lateral3(c3), self.upsample(self.reduce4(t4))], dim=1))
        b4 = self.bottom4(torch.cat([self.down4(t3), t4], dim=1))
        b5 = self.bottom5(torch.cat([self.down5(b4), t5], dim=1))
        return self.out3(t3), self.out4(b4), self.out5(b5)
