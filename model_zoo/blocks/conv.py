"""Convolution, batch normalization and activation: the basic block of every generation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]
ConvFactory = Callable[..., nn.Module]  # called like Conv: (in_channels, out_channels, kernel, stride)


class Conv(nn.Module):
    """Convolve, normalize, activate: (B, C, H, W) -> (B, out_channels, H / stride, W / stride).

    Padding is kernel // 2 unless given. The YOLOv5 lineage (v5, X, v6, v7) normalizes with eps 1e-3 and momentum 0.03;
    Darknet's generations use eps 1e-5. `bias` adds a bias before the normalization.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        padding: int | None = None,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
        activation: Activation = nn.SiLU,
        eps: float = 1e-3,
        momentum: float = 0.03,
    ) -> None:
        super().__init__()
        pad = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, pad, dilation, groups, bias)
        self.bn: nn.Module = nn.BatchNorm2d(out_channels, eps=eps, momentum=momentum)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))

    def fuse(self) -> nn.Module:
        """Fold the normalization into the convolution, in place."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fold_batch_norm(self.conv, self.bn)
            self.bn = nn.Identity()
        return self


def fold_batch_norm(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """Return one convolution equivalent to `bn(conv(x))` in evaluation mode, computed in float64."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    gain = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    bias = torch.zeros_like(gain) if conv.bias is None else conv.bias.double()
    weight = (conv.weight.double() * gain[:, None, None, None]).to(conv.weight)
    bias = (bn.bias.double() + (bias - bn.running_mean.double()) * gain).to(conv.weight)
    return fixed_conv(weight, bias, conv.stride, conv.padding, conv.groups, conv.dilation)


def fixed_conv(
    weight: Tensor, bias: Tensor, stride: Any, padding: Any, groups: int = 1, dilation: Any = 1
) -> nn.Conv2d:
    """Return a convolution with the given weight (out, in / groups, height, width) and bias (out,), frozen."""
    kernel = (weight.shape[2], weight.shape[3])
    with torch.device("meta"):  # skips the random initialization: both parameters are replaced
        conv = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], kernel, stride, padding, dilation, groups)
    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return conv
