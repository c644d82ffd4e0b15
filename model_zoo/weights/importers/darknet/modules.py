"""Modules of Darknet's cfg sections that no family uses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_zoo.blocks.conv import Activation


class Pool(nn.Module):
    """Max pooling with asymmetric padding: `before` on the left and top, `after` on the right and bottom.

    Padding repeats the edge. Every window that reaches the padding also contains the edge, so the maximum is unchanged.
    """

    def __init__(self, size: int, stride: int, before: int, after: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.border = (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maxima (B, C, h, w)."""
        return F.max_pool2d(F.pad(x, self.border, mode="replicate"), self.size, self.stride)


class Route(nn.Module):
    """Concatenate channel group `group` of `groups` from every map."""

    def __init__(self, groups: int, group: int) -> None:
        super().__init__()
        self.groups, self.group = groups, group

    def forward(self, *maps: Tensor) -> Tensor:
        """Return (B, sum of C / groups, H, W)."""
        return torch.cat([x.chunk(self.groups, dim=1)[self.group] for x in maps], dim=1)


class Shortcut(nn.Module):
    """Add maps, then apply the activation."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.act = activation()

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Return the activated sum, of the same shape."""
        for other in others:
            x = x + other
        activated: Tensor = self.act(x)
        return activated


class Scale(nn.Module):
    """Multiply a map (B, C, H, W) by a factor of its shape or of shape (B, C, 1, 1), then apply the activation."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.act = activation()

    def forward(self, factor: Tensor, x: Tensor) -> Tensor:
        """Return the activated product, of the shape of `x`."""
        activated: Tensor = self.act(factor * x)
        return activated


class SpaceToDepth(nn.Module):
    """Rearrange blocks of s x s pixels into channels: (B, C, H, W) -> (B, s * s * C, H / s, W / s)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return all channels of each block's first pixel, then of its second, row by row."""
        batch, channels, height, width = x.shape
        s = self.stride
        blocks = x.view(batch, channels, height // s, s, width // s, s).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(batch, s * s * channels, height // s, width // s)
