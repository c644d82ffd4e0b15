"""Blocks of Darknet's generations (v1 to v4): leaky convolutions, residuals, pooling and reorganization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Activation, Conv, ConvFactory


def leaky() -> nn.Module:
    """Return Darknet's leaky ReLU, of slope 0.1."""
    return nn.LeakyReLU(0.1)


def darknet_conv(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, *, activation: Activation = leaky
) -> Conv:
    """Return a convolution with Darknet's normalization: eps 1e-5 inside the root, as in its GPU code."""
    return Conv(in_channels, out_channels, kernel, stride, activation=activation, eps=1e-5, momentum=0.1)


class Residual(nn.Module):
    """Compute x + expand(reduce(x)): 1x1 to half of the channels, 3x3 back (arXiv:1804.02767, table 1).

    The sum has no activation. `conv` builds both convolutions; `hidden` is the number of channels between them.
    """

    def __init__(self, channels: int, hidden: int | None = None, *, conv: ConvFactory = darknet_conv) -> None:
        super().__init__()
        hidden = channels // 2 if hidden is None else hidden
        self.reduce = conv(channels, hidden, 1)
        self.expand = conv(hidden, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(self.reduce(x))


def conv_set(in_channels: int, channels: int, *, conv: ConvFactory = darknet_conv) -> nn.Sequential:
    """Return five alternating 1x1 and 3x3 convolutions, built by `conv`, with `channels` outputs (YOLOv3's neck)."""
    return nn.Sequential(
        conv(in_channels, channels, 1),
        conv(channels, 2 * channels, 3),
        conv(2 * channels, channels, 1),
        conv(channels, 2 * channels, 3),
        conv(2 * channels, channels, 1),
    )


class SameSizeMaxPool(nn.Module):
    """2x2 max pool of stride 1 that keeps the size by padding only on the right and at the bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, 1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)[..., 1:, 1:]


class PyramidPool(nn.Module):
    """Join max pools, largest window first, with the map itself: (B, C, H, W) -> (B, 4C, H, W)."""

    def __init__(self, windows: Sequence[int] = (13, 9, 5)) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool2d(window, 1, window // 2) for window in windows)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(pool(x) for pool in self.pools), x], dim=1)


def pooled_conv_set(in_channels: int, channels: int, *, conv: ConvFactory = darknet_conv) -> nn.Sequential:
    """Return six alternating 1x1 and 3x3 convolutions around pyramid pooling (YOLOv3-SPP, YOLOv4)."""
    return nn.Sequential(
        conv(in_channels, channels, 1),
        conv(channels, 2 * channels, 3),
        conv(2 * channels, channels, 1),
        PyramidPool(),
        conv(4 * channels, channels, 1),
        conv(channels, 2 * channels, 3),
        conv(2 * channels, channels, 1),
    )


class Reorg(nn.Module):
    """Darknet's `reorg` by 2, in the order of YOLOv2's weights: (B, C, H, W) -> (B, 4C, H / 2, W / 2).

    It is not space to depth of the map. The buffer is reinterpreted as C / 4 maps of twice the size. These are split
    into their four phases (row first), and the result is reinterpreted as 4C maps of half the size.
    """

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        large = x.flatten(1).view(batch, channels // 4, height, 2, width, 2)  # through flat shapes, for the tracer
        return large.permute(0, 3, 5, 1, 2, 4).flatten(1).view(batch, channels * 4, height // 2, width // 2)
