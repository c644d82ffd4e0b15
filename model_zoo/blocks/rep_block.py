"""Stages of YOLOv6 (arXiv:2209.02976, section 2.1, figure 3): RepBlock for small models, CSPStackRep for large ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory
from model_zoo.blocks.reparam import RepConv

SpatialBlock = Callable[..., nn.Module]  # called with (in_channels, out_channels, stride); 3x3, normalized, activated
SimConv: ConvFactory = partial(Conv, activation=nn.ReLU)


class RepVGGBlock(RepConv):
    """Block of RepVGG (arXiv:2101.03697): the sum of 3x3, 1x1 and identity branches, then ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride, activation=nn.ReLU)


class RepBlock(nn.Sequential):
    """A chain of `depth` RepVGG blocks."""

    def __init__(self, in_channels: int, out_channels: int, depth: int) -> None:
        super().__init__(*(RepVGGBlock(in_channels if i == 0 else out_channels, out_channels) for i in range(depth)))


class BottleRep(nn.Module):
    """Two blocks with a shortcut, scaled by a learned weight."""

    def __init__(self, channels: int, block: SpatialBlock) -> None:
        super().__init__()
        self.conv1 = block(channels, channels, 1)
        self.conv2 = block(channels, channels, 1)
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + self.alpha * x


class CSPStackRep(nn.Module):
    """Cross-stage-partial stack: conv3(cat(blocks(conv1(x)), conv2(x))), with `depth // 2` BottleReps in one path.

    `share` is the fraction of the output channels in each path. `conv` builds 1x1 convolutions, `block` 3x3 ones.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int,
        *,
        share: float,
        block: SpatialBlock = RepVGGBlock,
        conv: ConvFactory = SimConv,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * share)
        self.conv1 = conv(in_channels, hidden, 1)
        self.conv2 = conv(in_channels, hidden, 1)
        self.conv3 = conv(2 * hidden, out_channels, 1)
        self.blocks = nn.Sequential(*(BottleRep(hidden, block) for _ in range(depth // 2)))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(torch.cat([self.blocks(self.conv1(x)), self.conv2(x)], dim=1))
