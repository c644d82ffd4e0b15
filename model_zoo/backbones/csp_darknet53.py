"""Cross-stage-partial Darknet-53 (CSPNet, arXiv:1911.11929): the backbones of YOLOv4 and YOLOv4-tiny.

Modules are registered in the order of the original's layers, as weight files have no names and are read in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import ConvFactory
from model_zoo.blocks.darknet import Residual, darknet_conv


class CSPStage(nn.Module):
    """Halve the map, send one projection of it through residuals, and join it with a bypass.

    Computes merge(cat(leave(residuals(enter(x))), around(x))) with x = down(input).

    Args:
        in_channels: Input channels.
        channels: Output channels.
        depth: Number of residuals.
        conv: Builds every convolution.
        hidden: Channels of both paths, by default half of the output channels.
        inner: Channels inside the residuals, by default those of the path.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        depth: int,
        *,
        conv: ConvFactory,
        hidden: int | None = None,
        inner: int | None = None,
    ) -> None:
        super().__init__()
        hidden = channels // 2 if hidden is None else hidden
        inner = hidden if inner is None else inner
        self.down = conv(in_channels, channels, 3, 2)
        self.around = conv(channels, hidden, 1)
        self.enter = conv(channels, hidden, 1)
        self.residuals = nn.Sequential(*(Residual(hidden, inner, conv=conv) for _ in range(depth)))
        self.leave = conv(hidden, hidden, 1)
        self.merge = conv(2 * hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return self.merge(torch.cat([self.leave(self.residuals(self.enter(x))), self.around(x)], dim=1))


class CSPDarknet53(nn.Module):
    """Return c3, c4, c5 of strides 8, 16, 32, from a stem and five stages.

    Args:
        c1: The first stage.
        channels: Channels of the stem and the five stages.
        depths: Residuals of the second to the fifth stage.
        conv: Builds every convolution.
    """

    def __init__(self, c1: nn.Module, channels: Sequence[int], depths: Sequence[int], *, conv: ConvFactory) -> None:
        super().__init__()
        w0, w1, w2, w3, w4, w5 = channels
        d2, d3, d4, d5 = depths
        self.stem = conv(3, w0, 3)
        self.c1 = c1
        self.c2 = CSPStage(w1, w2, d2, conv=conv)
        self.c3 = CSPStage(w2, w3, d3, conv=conv)
        self.c4 = CSPStage(w3, w4, d4, conv=conv)
        self.c5 = CSPStage(w4, w5, d5, conv=conv)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c2 = self.c2(self.c1(self.stem(x)))  # (B, w2, H / 4, W / 4)
        c3 = self.c3(c2)
        c4 = self.c4(c3)
        return c3, c4, self.c5(c4)


class TinyCSPStage(nn.Module):
    """Send the second half of the channels through three convolutions, and join the result with the full map.

    Returns the output of the convolutions (same channels) and the joined map (twice the channels).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.enter = darknet_conv(channels, channels, 3)
        self.conv1 = darknet_conv(half, half, 3)
        self.conv2 = darknet_conv(half, half, 3)
        self.merge = darknet_conv(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.enter(x)
        first = self.conv1(x.chunk(2, dim=1)[1])
        part = self.merge(torch.cat([self.conv2(first), first], dim=1))
        return part, torch.cat([x, part], dim=1)


class CSPDarknet53Tiny(nn.Module):
    """Two strided convolutions, three split stages with a pool after each, and a last convolution. Returns c4 and c5.

    c4 (256 channels, stride 16) is the output of the third stage before the join. c5 has 512 channels, stride 32.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(darknet_conv(3, 32, 3, 2), darknet_conv(32, 64, 3, 2))
        self.c2 = TinyCSPStage(64)
        self.c3 = TinyCSPStage(128)
        self.c4 = TinyCSPStage(256)
        self.c5 = darknet_conv(512, 512, 3)
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, c2 = self.c2(self.stem(x))
        _, c3 = self.c3(self.pool(c2))
        part, c4 = self.c4(self.pool(c3))
        return part, self.c5(self.pool(c4))
