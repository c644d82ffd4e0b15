"""Top-down neck of two scales: tiny YOLOv3 and tiny YOLOv4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.darknet import darknet_conv


class TinyNeck(nn.Module):
    """(c4, c5) of 256 and `deep` channels -> two maps of 256 and 512 channels, of the same sizes."""

    def __init__(self, deep: int) -> None:
        super().__init__()
        self.set5 = darknet_conv(deep, 256)
        self.out5 = darknet_conv(256, 512, 3)
        self.reduce5 = darknet_conv(256, 128)
        self.out4 = darknet_conv(128 + 256, 256, 3)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        c4, c5 = maps
        t5 = self.set5(c5)
        t4 = torch.cat([self.upsample(self.reduce5(t5)), c4], dim=1)
        return self.out4(t4), self.out5(t5)
