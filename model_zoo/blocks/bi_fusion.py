"""Bi-directional concatenation of YOLOv6 3.0 (arXiv:2301.05586, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo.blocks.rep_block import SimConv


class BiFusion(nn.Module):
    """Join an upsampled deep map, a map of the same size and a downsampled shallow map. Outputs `deep` channels."""

    def __init__(self, deep: int, same: int, shallow: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(deep, deep, 2, 2)
        self.conv1 = SimConv(same, deep)
        self.conv2 = SimConv(shallow, deep)
        self.down = SimConv(deep, deep, 3, 2)
        self.conv3 = SimConv(3 * deep, deep)

    def forward(self, deep: Tensor, same: Tensor, shallow: Tensor) -> Tensor:
        maps = [self.upsample(deep), self.conv1(same), self.down(self.conv2(shallow))]
        return self.conv3(torch.cat(maps, dim=1))
