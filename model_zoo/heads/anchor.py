"""Anchor head: one 1x1 convolution per level predicts x, y, w, h, objectness and classes for every cell and anchor.

YOLOv2 to v5 and v7 share maps, rows, priors and ranking. They differ only in `locate` and `score`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.detector import Head
from model_zoo.heads.cells import corners, level_cells

Anchors = tuple[tuple[tuple[float, float], ...], ...]  # (width, height) in pixels, per level, by ascending stride


class AnchorHead(Head):
    """Head of YOLOv5, and base of the other anchor heads. Raw maps are (B, A, h, w, 5 + C), with A anchors per level.

    Args:
        channels: Channels of the feature maps, by ascending stride.
        num_classes: Number of classes.
        anchors: Anchors in pixels. They are a buffer, so that fitted anchors are saved with the weights.
        strides: Pixels per cell of each level.
    """

    anchors: Tensor
    prediction: type[nn.Conv2d] = nn.Conv2d
    class_margin = 0.99999  # keeps the initial class probability, 0.6 / (C - margin), finite for one class
    multi_label_below = 0.01  # evaluation reports every class of a box, detection only the best

    def __init__(self, channels: Sequence[int], num_classes: int, anchors: Anchors, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides, self.num_classes = tuple(strides), num_classes
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32))
        outputs = len(anchors[0]) * (5 + num_classes)
        self.predict = nn.ModuleList(self.prediction(c, outputs, 1) for c in channels)
        for conv, stride in zip(self.predict, self.strides, strict=True):
            self.init_bias(conv, stride)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the raw maps (B, A, h, w, 5 + C)."""
        return [self.as_map(conv(x)) for conv, x in zip(self.predict, features, strict=True)]

    def as_map(self, x: Tensor) -> Tensor:
        """View the output of a convolution (B, A * (5 + C), h, w) as a raw map (B, A, h, w, 5 + C)."""
        batch, _, height, width = x.shape
        return x.view(batch, -1, 5 + self.num_classes, height, width).permute(0, 1, 3, 4, 2)

    def planes(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """View the maps as (B, A, 5 + C, h, w), the layout of the convolutions."""
        return [m.movedim(4, 2) for m in maps]

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N, 5): cell x, cell y, stride, anchor width, anchor height (the last two in pixels)."""
        levels = zip(maps, self.anchors, self.strides, strict=True)
        return torch.cat([_level_priors(m.shape[2], m.shape[3], a, stride) for m, a, stride in levels])

    def ranking(self, rows: Tensor, dim: int = -1) -> Tensor:
        """Return the raw objectness. Its sigmoid is an upper bound of the class scores."""
        return rows.select(dim, 4)

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw x, y, w, h to boxes xyxy in pixels. Sizes are at most four times the anchor."""
        cells, strides, anchors = priors[..., :2], priors[..., 2:3], priors[..., 3:]
        raw = raw.sigmoid()
        return corners((2 * raw[..., :2] - 0.5 + cells) * strides, (2 * raw[..., 2:]) ** 2 * anchors)

    def score(self, raw: Tensor) -> Tensor:
        """Decode raw objectness and classes to scores: the product of both probabilities."""
        probabilities = raw.sigmoid()
        return probabilities[..., 1:] * probabilities[..., :1]

    @torch.no_grad()
    def init_bias(self, conv: nn.Module, stride: int) -> None:
        """Initialize the bias for 8 objects per 640 px image and a class probability near 0.6 / C."""
        assert isinstance(conv.bias, Tensor)
        bias = conv.bias.view(-1, 5 + self.num_classes)
        bias[:, 4] += math.log(8 / (640 / stride) ** 2)
        bias[:, 5:] += math.log(0.6 / (self.num_classes - self.class_margin))


def _level_priors(height: int, width: int, anchors: Tensor, stride: int) -> Tensor:
    """Return the priors of one level (A * height * width, 5), in float32 whatever the network computes in."""
    cells = level_cells(height, width, stride, anchors.device)
    sizes = anchors.float()[:, None].expand(-1, cells.shape[0], -1)
    return torch.cat([cells.expand(anchors.shape[0], -1, -1), sizes], dim=-1).flatten(0, 1)
