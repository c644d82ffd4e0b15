"""Efficient decoupled head of YOLOv6 (arXiv:2209.02976, section 2.1): distances to sides, no anchors or objectness."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Head
from model_zoo.heads.cells import cell_priors
from model_zoo.heads.decoupled import PRIOR

BINS = 17  # of a distance that is predicted as a distribution over 0, 1, ..., 16 cells


class EfficientLevel(nn.Module):
    """A 1x1 stem, then one 3x3 convolution for boxes and one for classes, all with the channels of the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = Conv(channels, channels, 1)
        self.box_branch = Conv(channels, channels, 3)
        self.class_branch = Conv(channels, channels, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features for boxes and for classes."""
        x = self.stem(x)
        return self.box_branch(x), self.class_branch(x)


class Prediction(nn.Module):
    """Predict boxes and classes from their features: (B, box_numbers + class_numbers, h, w).

    Initially every box number is near 1 and every class probability near 0.01.
    """

    def __init__(self, channels: int, box_numbers: int, class_numbers: int) -> None:
        super().__init__()
        self.box = nn.Conv2d(channels, box_numbers, 1)
        self.classes = nn.Conv2d(channels, class_numbers, 1)
        init_constant(self.box, 1.0)
        init_constant(self.classes, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, boxes: Tensor, classes: Tensor) -> Tensor:
        """Return the raw map of the features for boxes and for classes."""
        return torch.cat([self.box(boxes), self.classes(classes)], dim=1)


class DistillationBranch(nn.Module):
    """Predict distances as distributions, in addition to the lead's plain distances, for self-distillation."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.box = nn.Conv2d(channels, 4 * bins, 1)
        init_constant(self.box, 1.0)

    def forward(self, boxes: Tensor, _classes: Tensor) -> Tensor:
        """Return (B, 4 * bins, h, w) for the features for boxes."""
        return self.box(boxes)


class EfficientHead(Head):
    """Head of YOLOv6 from 2.0 on: raw maps (B, 4 * bins + C, h, w), distances to the sides, then classes.

    Args:
        channels: Channels of the feature maps, by ascending stride.
        num_classes: Number of classes.
        strides: Pixels per cell of each level.
        bins: 1 for the distances left, top, right, bottom in cells, which may be negative. 17 for the logits of their
            distributions (DFL, arXiv:2006.04388), those of left first.
        added: Modules that predict from the same features in training, one per level. In training mode their maps
            follow those of the lead. Decoding uses the lead only, and the deployed form drops them.
    """

    multi_label_below = 0.01  # as in YOLOv5: evaluation reports every class of a box, detection only the best

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        strides: Sequence[int],
        bins: int = 1,
        *,
        added: Iterable[nn.Module] = (),
    ) -> None:
        super().__init__()
        if bins not in (1, BINS):
            raise LineageError(f"expected 1 or {BINS} bins; got {bins}")
        self.strides, self.num_classes, self.box_numbers = tuple(strides), num_classes, 4 * bins
        # Constant. The original stores them twice, used or not, and its published sizes count both.
        self.bins = nn.Parameter(torch.tensor([[float(i) for i in range(BINS)]] * 2), requires_grad=False)
        self.levels = nn.ModuleList(EfficientLevel(c) for c in channels)
        self.predict = nn.ModuleList(Prediction(c, self.box_numbers, num_classes) for c in channels)
        self.added = nn.ModuleList(added)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the raw maps (B, 4 * bins + C, h, w), and in training mode the added ones."""
        pairs = [level(x) for level, x in zip(self.levels, features, strict=True)]
        maps = [predict(*pair) for predict, pair in zip(self.predict, pairs, strict=True)]
        if self.training:
            maps += [added(*pair) for added, pair in zip(self.added, pairs, strict=False)]
        return maps

    def fuse(self) -> nn.Module:
        """Drop the modules added for training, in place."""
        self.added = nn.ModuleList()
        return self

    def planes(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """View the lead's maps as (B, 1, 4 * bins + C, h, w)."""
        return [m.unsqueeze(1) for m in maps[: len(self.strides)]]

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N, 3) for the lead's maps: cell x, cell y, stride."""
        return cell_priors(maps[: len(self.strides)], self.strides)

    def ranking(self, rows: Tensor, dim: int = -1) -> Tensor:
        """Return the highest class logit. Its sigmoid is the highest score."""
        return rows.narrow(dim, self.box_numbers, self.num_classes).amax(dim)

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw distances, or the logits of their distributions, to boxes xyxy in pixels."""
        centers, strides = priors[..., :2] + 0.5, priors[..., 2:]
        left_top, right_bottom = self.distances(raw).chunk(2, dim=-1)
        return torch.cat([centers - left_top, centers + right_bottom], dim=-1) * strides

    def score(self, raw: Tensor) -> Tensor:
        """Decode class logits to scores: their sigmoids."""
        return raw.sigmoid()

    def distances(self, raw: Tensor) -> Tensor:
        """Decode (..., 4 * bins) to distances (..., 4) in cells: distributions to their mean."""
        if self.box_numbers == 4:
            return raw
        return (raw.unflatten(-1, (4, BINS)).softmax(dim=-1) * self.bins[0]).sum(dim=-1)


def init_constant(conv: nn.Conv2d, value: float) -> None:
    """Initialize a convolution so that its outputs are near a constant (RetinaNet, arXiv:1708.02002, section 4.1)."""
    assert conv.bias is not None
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.constant_(conv.bias, value)
