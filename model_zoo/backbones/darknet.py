"""Darknet's backbones: Darknet-19 (YOLOv2), Darknet-53 (YOLOv3, YOLOX's baseline) and the tiny one (v2, v3).

Modules are registered in the order of the original's layers, as weight files have no names and are read in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from model_zoo.blocks.conv import ConvFactory
from model_zoo.blocks.darknet import Residual, SameSizeMaxPool, darknet_conv


class Darknet19(nn.Module):
    """18 convolutions in six stages (arXiv:1612.08242, table 6, without the classifier). Returns c4 and c5.

    A stage alternates 3x3 and 1x1 convolutions. Pools separate the stages. `width` is the channel count of the
    first stage.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        w0, w1, w2, w3, w4, w5 = (width * 2**level for level in range(6))
        self.c0 = _squeezes(3, w0, 0)
        self.c1 = _squeezes(w0, w1, 0)
        self.c2 = _squeezes(w1, w2, 1)
        self.c3 = _squeezes(w2, w3, 1)
        self.c4 = _squeezes(w3, w4, 2)
        self.c5 = _squeezes(w4, w5, 2)
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c1 = self.c1(self.pool(self.c0(x)))  # (B, w1, H / 2, W / 2)
        c3 = self.c3(self.pool(self.c2(self.pool(c1))))
        c4 = self.c4(self.pool(c3))
        return c4, self.c5(self.pool(c4))


def _squeezes(in_channels: int, channels: int, times: int) -> nn.Sequential:
    """Return a 3x3 convolution, then `times` pairs of a 1x1 to half of the channels and a 3x3 back."""
    pairs = [(darknet_conv(channels, channels // 2), darknet_conv(channels // 2, channels, 3)) for _ in range(times)]
    return nn.Sequential(darknet_conv(in_channels, channels, 3), *(conv for pair in pairs for conv in pair))


class Darknet53(nn.Module):
    """52 convolutions: a stem and five residual stages (arXiv:1804.02767, table 1). Returns c3, c4, c5.

    `width` is the channel count of the stem, `repeats` the residuals per stage; `conv` builds every convolution.
    """

    def __init__(
        self, width: int = 32, repeats: Sequence[int] = (1, 2, 8, 8, 4), *, conv: ConvFactory = darknet_conv
    ) -> None:
        super().__init__()
        w0, w1, w2, w3, w4, w5 = (width * 2**level for level in range(6))
        r1, r2, r3, r4, r5 = repeats
        self.stem = conv(3, w0, 3)
        self.c1 = _residuals(w0, w1, r1, conv)
        self.c2 = _residuals(w1, w2, r2, conv)
        self.c3 = _residuals(w2, w3, r3, conv)
        self.c4 = _residuals(w3, w4, r4, conv)
        self.c5 = _residuals(w4, w5, r5, conv)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c2 = self.c2(self.c1(self.stem(x)))  # (B, w2, H / 4, W / 4)
        c3 = self.c3(c2)
        c4 = self.c4(c3)
        return c3, c4, self.c5(c4)


def _residuals(in_channels: int, channels: int, repeats: int, conv: ConvFactory) -> nn.Sequential:
    """Return a 3x3 convolution of stride 2, then residuals."""
    return nn.Sequential(conv(in_channels, channels, 3, 2), *(Residual(channels, conv=conv) for _ in range(repeats)))


class DarknetTiny(nn.Module):
    """Seven 3x3 convolutions and six pools, of which the last keeps the size. Returns c4 and c5."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w0, w1, w2, w3, w4, w5, w6 = (width * 2**level for level in range(7))
        self.c0 = darknet_conv(3, w0, 3)
        self.c1 = darknet_conv(w0, w1, 3)
        self.c2 = darknet_conv(w1, w2, 3)
        self.c3 = darknet_conv(w2, w3, 3)
        self.c4 = darknet_conv(w3, w4, 3)
        self.c5 = nn.Sequential(darknet_conv(w4, w5, 3), SameSizeMaxPool(), darknet_conv(w5, w6, 3))
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c2 = self.c2(self.pool(self.c1(self.pool(self.c0(x)))))  # (B, w2, H / 4, W / 4)
        c4 = self.c4(self.pool(self.c3(self.pool(c2))))
        return c4, self.c5(self.pool(c4))
