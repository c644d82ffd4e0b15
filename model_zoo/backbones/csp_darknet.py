"""CSPDarknet with a Focus stem: the backbone of YOLOv5 v4.0-v5.0 and of YOLOX."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory
from model_zoo.blocks.csp import C3
from model_zoo.blocks.focus import Focus
from model_zoo.blocks.spp import SPP


class CSPDarknet(nn.Module):
    """Return c3, c4, c5 of strides 8, 16, 32.

    Args:
        channels: Channels of c1 (the stem) to c5.
        depth: Bottlenecks in c2 and c5; c3 and c4 have three times as many.
        spatial: Builds the convolutions larger than 1x1, except in the stem.
    """

    def __init__(self, channels: Sequence[int], depth: int, *, spatial: ConvFactory = Conv) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = channels
        self.stem = Focus(3, w1)
        self.down2 = spatial(w1, w2, 3, 2)
        self.c2 = C3(w2, w2, depth, spatial=spatial)
        self.down3 = spatial(w2, w3, 3, 2)
        self.c3 = C3(w3, w3, 3 * depth, spatial=spatial)
        self.down4 = spatial(w3, w4, 3, 2)
        self.c4 = C3(w4, w4, 3 * depth, spatial=spatial)
        self.down5 = spatial(w4, w5, 3, 2)
        self.spp = SPP(w5, w5)
        self.c5 = C3(w5, w5, depth, shortcut=False, spatial=spatial)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c2 = self.c2(self.down2(self.stem(x)))
        c3 = self.c3(self.down3(c2))
        c4 = self.c4(self.down4(c3))
        c5 = self.c5(self.spp(self.down5(c4)))
        return c3, c4, c5
