"""Structural re-parameterization (RepVGG, arXiv:2101.03697, section 3.3): parallel branches become one convolution.

A branch is a convolution with its normalization folded in (`fold_batch_norm`), or a normalization of the identity
(`identity_conv`). Sums are computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_zoo.blocks.conv import Activation, Conv, fixed_conv, fold_batch_norm


class RepConv(nn.Module):
    """Activate the sum of normalized branches: 3x3, 1x1 and, if input and output have the same shape, identity.

    With SiLU it is the block of YOLOv7, with ReLU that of RepVGG and YOLOv6. The deployed form is one 3x3 convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, activation: Activation = nn.SiLU
    ) -> None:
        super().__init__()
        self.dense = Conv(in_channels, out_channels, 3, stride, activation=nn.Identity)
        self.stride = stride
        self.pointwise = Conv(in_channels, out_channels, 1, activation=nn.Identity)
        keeps_shape = in_channels == out_channels and stride == 1
        self.identity = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03) if keeps_shape else None
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        # Slice instead of a 1x1 convolution of stride 2, whose gradient in channels-last float32 corrupts memory
        # (torch 2.13, CPU).
        y = self.dense(x) + self.pointwise(x[..., :: self.stride, :: self.stride])
        return self.act(y if self.identity is None else y + self.identity(x))

    def fuse(self) -> nn.Module:
        """Return the equivalent single convolution with its activation."""
        self.dense.fuse()
        self.pointwise.fuse()
        branches = [self.dense.conv, self.pointwise.conv]
        if self.identity is not None:
            branches.append(identity_conv(self.identity))
        self.dense.conv, self.dense.act = sum_convs(branches), self.act
        return self.dense


def pad_kernel(weight: Tensor, size: int) -> Tensor:
    """Pad odd square kernels (out, in, k, k) with zeros to (out, in, size, size)."""
    margin = (size - weight.shape[-1]) // 2
    return functional.pad(weight, [margin] * 4)


def identity_conv(bn: nn.BatchNorm2d, groups: int = 1) -> nn.Conv2d:
    """Return the 1x1 convolution equivalent to `bn(x)` in evaluation mode."""
    channels = bn.num_features
    weight = torch.zeros(channels, channels // groups, 1, 1).to(bn.weight)
    weight[torch.arange(channels), torch.arange(channels) % (channels // groups)] = 1
    return fold_batch_norm(fixed_conv(weight, weight.new_zeros(channels), stride=1, padding=0, groups=groups), bn)


def sum_convs(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """Return one convolution equivalent to the sum of several, with the largest of their kernels.

    All have a bias, a padding of k // 2, and the same stride and groups.
    """
    size = max(conv.kernel_size[0] for conv in convs)
    weight = torch.stack([pad_kernel(conv.weight.double(), size) for conv in convs]).sum(0)
    bias = torch.stack([conv.bias.double() for conv in convs if conv.bias is not None]).sum(0)
    first = convs[0]
    return fixed_conv(weight.to(first.weight), bias.to(first.weight), first.stride, size // 2, first.groups)
