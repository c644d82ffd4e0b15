"""Decoupled head of YOLOX (arXiv:2107.08430, section 2.1): separate branches for classes and boxes, no anchors.

The first release of YOLOv6 has the same head with shorter branches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory
from model_zoo.detector import Head
from model_zoo.heads.cells import cell_priors, corners

PRIOR = 0.01  # initial probability of objectness and of every class


class DecoupledLevel(nn.Module):
    """Predict on one map by a 1x1 stem, a branch for classes, and a branch for box and objectness.

    (B, C', h, w) -> raw map (B, 5 + C, h, w): x, y, w, h, objectness, classes. `conv` builds the stem, `spatial` the
    `depth` 3x3 convolutions of each branch.
    """

    def __init__(
        self, in_channels: int, width: int, num_classes: int, depth: int, conv: ConvFactory, spatial: ConvFactory
    ) -> None:
        super().__init__()
        self.stem = conv(in_channels, width, 1)
        self.class_branch = nn.Sequential(*(spatial(width, width, 3) for _ in range(depth)))
        self.box_branch = nn.Sequential(*(spatial(width, width, 3) for _ in range(depth)))
        self.classes = nn.Conv2d(width, num_classes, 1)
        self.box = nn.Conv2d(width, 4, 1)
        self.objectness = nn.Conv2d(width, 1, 1)
        for prediction in (self.classes, self.objectness):
            assert prediction.bias is not None
            nn.init.constant_(prediction.bias, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the raw map of one feature map."""
        x = self.stem(x)
        boxes, classes = self.box_branch(x), self.class_branch(x)
        return torch.cat([self.box(boxes), self.objectness(boxes), self.classes(classes)], dim=1)


class DecoupledHead(Head):
    """Head of YOLOX: raw maps (B, 5 + C, h, w), centers relative to the corner of the cell, exponential sizes.

    Args:
        channels: Channels of the feature maps, by ascending stride.
        widths: Channels of the branches of each level.
        num_classes: Number of classes.
        strides: Pixels per cell of each level.
        depth: Number of 3x3 convolutions per branch.
        conv: Builds the stems.
        spatial: Builds the convolutions of the branches.
    """

    def __init__(
        self,
        channels: Sequence[int],
        widths: Sequence[int],
        num_classes: int,
        strides: Sequence[int] = (8, 16, 32),
        *,
        depth: int = 2,
        conv: ConvFactory = Conv,
        spatial: ConvFactory = Conv,
    ) -> None:
        super().__init__()
        self.strides, self.num_classes = tuple(strides), num_classes
        levels = zip(channels, widths, self.strides, strict=True)
        self.levels = nn.ModuleList(DecoupledLevel(c, w, num_classes, depth, conv, spatial) for c, w, _ in levels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the raw maps (B, 5 + C, h, w)."""
        return [level(x) for level, x in zip(self.levels, features, strict=True)]

    def planes(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """View the maps as (B, 1, 5 + C, h, w)."""
        return [m.unsqueeze(1) for m in maps]

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N, 3): cell x, cell y, stride."""
        return cell_priors(maps, self.strides)

    def ranking(self, rows: Tensor, dim: int = -1) -> Tensor:
        """Return the raw objectness. Its sigmoid is an upper bound of the class scores."""
        return rows.select(dim, 4)

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw x, y, w, h to boxes xyxy in pixels: centers (raw + cell) * stride, sizes exp * stride."""
        cells, strides = priors[..., :2], priors[..., 2:]
        return corners((raw[..., :2] + cells) * strides, raw[..., 2:].exp() * strides)

    def score(self, raw: Tensor) -> Tensor:
        """Decode raw objectness and classes to scores: the product of both probabilities."""
        probabilities = raw.sigmoid()
        return probabilities[..., 1:] * probabilities[..., :1]
