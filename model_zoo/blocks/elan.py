"""Layer aggregation of YOLOv7 (arXiv:2207.02696, section 3.1, figure 2): ELAN and E-ELAN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory


class ELAN(nn.Module):
    """Join two 1x1 projections of the map with all outputs of a chain of blocks on the second one, last output first.

    Args:
        in_channels: Input channels.
        hidden: Channels of each projection.
        out_channels: Output channels.
        blocks: Number of computational blocks.
        depth: 3x3 convolutions per block.
        narrowing: Divisor of the channels inside the blocks; 2 in necks ("ELAN-W").
        conv: Builds every convolution.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        *,
        blocks: int = 2,
        depth: int = 2,
        narrowing: int = 1,
        conv: ConvFactory = Conv,
    ) -> None:
        super().__init__()
        width = hidden // narrowing
        self.left = conv(in_channels, hidden, 1)
        self.right = conv(in_channels, hidden, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(conv(width if i or j else hidden, width, 3) for j in range(depth))) for i in range(blocks)
        )
        self.join = conv(2 * hidden + blocks * width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.left(x), self.right(x)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return self.join(torch.cat(maps[::-1], dim=1))


class EELAN(nn.Module):
    """Extended ELAN: the sum of two ELANs, equivalent to the paper's group, shuffle and merge of cardinality 2."""

    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, *, blocks: int = 2, depth: int = 2, narrowing: int = 1
    ) -> None:
        super().__init__()
        self.first = ELAN(in_channels, hidden, out_channels, blocks=blocks, depth=depth, narrowing=narrowing)
        self.second = ELAN(in_channels, hidden, out_channels, blocks=blocks, depth=depth, narrowing=narrowing)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)
