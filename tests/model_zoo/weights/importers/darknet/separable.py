"""A cfg with grouped, depthwise and dilated convolutions, and its reference implementation in plain torch."""

from __future__ import annotations

import struct

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

HEADER = struct.pack("<3iq", 0, 2, 5, 7)
ANCHORS = ((10, 14), (23, 27), (37, 58), (30, 20), (12, 40))
SEPARABLE = """
# a stem, a depthwise convolution, a pointwise one, and a shortcut over both
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=relu6
[convolutional]
batch_normalize=1
groups=8
filters=8
size=3
stride=1
pad=1
activation=relu6
[convolutional]
batch_normalize=1
filters=8
size=1
stride=1
activation=linear
[shortcut]
from=-3
activation=relu

# squeeze and excite
[avgpool]
[convolutional]
filters=4
size=1
activation=swish
[convolutional]
filters=8
size=1
activation=logistic
[scale_channels]
from=-4

[maxpool]
size=2
stride=2
[convolutional]
batch_normalize=1
filters=16
groups=2
size=3
stride=2
pad=1
activation=mish
[route]
layers=-1
groups=2
group_id=1
[convolutional]
batch_normalize=1
filters=8
size=3
dilation=2
pad=1
activation=leaky
[route]
layers=-1, 9

[maxpool]
size=4
stride=2
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=1,2
anchors=10,14, 23,27, 37,58, 30,20, 12,40
classes=2
ignore_thresh=.7

[route]
layers=-3
[upsample]
stride=2
[route]
layers=-1, 12
[convolutional]
filters=21
size=3
padding=1
activation=linear
[yolo]
mask=0,3,4
anchors=10,14, 23,27, 37,58, 30,20, 12,40
classes=2
scale_x_y=1.1
"""


class WeightsReader:
    """Read the numbers of a `.weights` file and apply layers with them, for a reference implementation."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.left = torch.from_numpy(numbers)

    def take(self, *shape: int) -> Tensor:
        count = int(np.prod(shape))
        values, self.left = self.left[:count], self.left[count:]
        return values.view(shape)

    def conv(self, x: Tensor, filters: int, size: int, **how: int) -> Tensor:
        """Apply a convolution with bias."""
        bias = self.take(filters)
        weight = self.take(filters, x.shape[1] // how.get("groups", 1), size, size)
        return F.conv2d(x, weight, bias, padding=size // 2, **how)

    def normalized(self, x: Tensor, filters: int, size: int, dilation: int = 1, **how: int) -> Tensor:
        beta, gamma, mean, var = (self.take(filters) for _ in range(4))
        weight = self.take(filters, x.shape[1] // how.get("groups", 1), size, size)
        x = F.conv2d(x, weight, padding=size // 2 * dilation, dilation=dilation, **how)
        shape = (1, filters, 1, 1)
        return (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5) * gamma.view(shape) + beta.view(shape)


def separable_reference(n: WeightsReader, x: Tensor) -> tuple[Tensor, Tensor]:
    """Reference implementation of SEPARABLE: return the maps of strides 8 and 16."""
    stem = n.normalized(x, 8, 3, stride=2).clamp(0, 6)
    deep = n.normalized(n.normalized(stem, 8, 3, groups=8).clamp(0, 6), 8, 1)
    block = (deep + stem).relu()
    squeezed = n.conv(block.mean((2, 3), keepdim=True), 4, 1)
    excited = n.conv(squeezed * squeezed.sigmoid(), 8, 1).sigmoid() * block
    pooled = excited.unflatten(3, (-1, 2)).amax(4).unflatten(2, (-1, 2)).amax(3)
    wide = n.normalized(pooled, 16, 3, stride=2, groups=2)
    wide = wide * torch.tanh(F.softplus(wide))
    far = F.leaky_relu(n.normalized(wide[:, 8:], 8, 3, dilation=2), 0.1)
    fine = torch.cat([far, wide], 1)
    # of a padding of 3, one is on the left and top
    coarse = F.pad(fine, (1, 2, 1, 2), value=-torch.inf).unfold(2, 4, 2).unfold(3, 4, 2).amax((4, 5))
    coarse_map = n.conv(coarse, 14, 1)
    joined = torch.cat([coarse.repeat_interleave(2, 2).repeat_interleave(2, 3), fine], 1)
    return n.conv(joined, 21, 3), coarse_map


def decoded(raw: Tensor, stride: int, mask: tuple[int, ...], scale_xy: float) -> tuple[Tensor, Tensor]:
    """Return boxes and scores of one map (1, A * 7, h, w), anchor by anchor and cell by cell."""
    boxes, scores = [], []
    for position, anchor in enumerate(mask):
        for row in range(raw.shape[2]):
            for column in range(raw.shape[3]):
                x, y, w, h, *rest = raw[0, 7 * position : 7 * position + 7, row, column]
                cx = (scale_xy * x.sigmoid() - (scale_xy - 1) / 2 + column) * stride
                cy = (scale_xy * y.sigmoid() - (scale_xy - 1) / 2 + row) * stride
                half_w, half_h = w.exp() * ANCHORS[anchor][0] / 2, h.exp() * ANCHORS[anchor][1] / 2
                boxes.append(torch.stack([cx - half_w, cy - half_h, cx + half_w, cy + half_h]))
                scores.append(torch.stack(rest[1:]).sigmoid() * rest[0].sigmoid())
    return torch.stack(boxes), torch.stack(scores)
