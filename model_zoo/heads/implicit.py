"""Heads of YOLOv7 (arXiv:2207.02696): implicit knowledge around the prediction, and auxiliary heads in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, fixed_conv
from model_zoo.heads.anchor import AnchorHead, Anchors


class ImplicitConv(nn.Conv2d):
    """Compute multiply * conv(x + add), with two learned constants per channel (YOLOR, arXiv:2105.04206)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel)
        self.add = nn.Parameter(torch.empty(1, in_channels, 1, 1).normal_(0, 0.02))
        self.multiply = nn.Parameter(torch.empty(1, out_channels, 1, 1).normal_(1, 0.02))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W) -> (B, out_channels, H, W)."""
        return self.multiply * super().forward(x + self.add)

    def fuse(self) -> nn.Module:
        """Return the equivalent plain convolution, computed in float64."""
        assert self.bias is not None
        weight, gain = self.weight.double(), self.multiply.double().flatten()
        bias = self.bias.double() + (weight * self.add.double()).sum((1, 2, 3))
        folded, bias = (weight * gain[:, None, None, None]).to(self.weight), (bias * gain).to(self.weight)
        return fixed_conv(folded, bias, self.stride, self.padding)


class ImplicitHead(AnchorHead):
    """YOLOv5's anchor head with implicit knowledge around every prediction. Its deployed form is YOLOv5's."""

    prediction = ImplicitConv
    class_margin = 0.99


class AuxiliaryHead(ImplicitHead):
    """Lead and auxiliary heads, for deep supervision of the top-down maps in training (section 4.2).

    Inputs are the features of the lead, then as many auxiliary features of the same strides. `auxiliary` holds the
    (channels, width) of each auxiliary head. Raw maps are those of the lead, followed in training mode by the auxiliary
    ones. Decoding uses the lead only, and the deployed form drops the auxiliary heads.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        anchors: Anchors,
        strides: Sequence[int],
        auxiliary: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__(channels, num_classes, anchors, strides)
        self.auxiliary = nn.ModuleList()
        for (c, width), stride in zip(auxiliary, strides, strict=False):  # none if they are dropped
            predict = nn.Conv2d(width, len(anchors[0]) * (5 + num_classes), 1)
            self.init_bias(predict, stride)
            self.auxiliary.append(nn.Sequential(Conv(c, width, 3), predict))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the raw maps (B, A, h, w, 5 + C) of the lead, and in training mode the auxiliary ones."""
        levels = len(self.strides)
        maps = super().forward(features[:levels])
        if self.training:
            maps += [self.as_map(branch(x)) for branch, x in zip(self.auxiliary, features[levels:], strict=False)]
        return maps

    def planes(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """View the lead's maps as (B, A, 5 + C, h, w)."""
        return super().planes(maps[: len(self.strides)])

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N, 5) for the lead's maps: cell x, cell y, stride, anchor width, anchor height."""
        return super().priors(maps[: len(self.strides)])

    def fuse(self) -> nn.Module:
        """Drop the auxiliary heads, in place."""
        self.auxiliary = nn.ModuleList()
        return self
