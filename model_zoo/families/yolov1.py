"""YOLOv1 (2015, arXiv:1506.02640).

      images ── c1 /2 ── c2 /4 ── c3 /8 ── c4 /16 ── c5 /32 ── extra /64 ── mix ─► predict
                └── 20 convolutions, pre-trained ──┘           └ 4 more ┘

      predict   7 x 7 x (20 classes + 2 boxes of x, y, w, h, confidence) = 1470 numbers, linear

Pools separate c1, c2, c3, c4 and c5; c1 and the second convolution of extra have a stride of 2. Activations are leaky
(0.1). mix gives every feature a larger view of the image. In the paper it is a fully connected layer of 4096. In
Darknet's later `yolov1` it is a locally connected layer, with separate filters for each position. Dropout (0.5) follows
it in training.

`yolov1-paper` is the paper's network, without batch normalization. `yolov1` and `yolov1-tiny` are Darknet's later ones,
with it; `yolov1` has three boxes per cell. `yolov1-fast` is Fast YOLO. The paper says only that it has nine
convolutions with fewer filters; see `fast_neck`.

Where we differ: scores are clamped to 0..1. Darknet reports the product of linear outputs unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_zoo.blocks.conv import ConvFactory
from model_zoo.blocks.darknet import darknet_conv, leaky
from model_zoo.class_names import VOC_NAMES
from model_zoo.contract.letterbox import LetterboxPolicy
from model_zoo.detector import Detector, InputSpec
from model_zoo.heads.grid import GridHead
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolov1",
    year=2015,
    summary=(
        "YOLOv1 (2015, arXiv:1506.02640): detection as a single regression, from the whole image to a grid of 7 x 7 "
        "cells."
    ),
    changes="",
)
CELLS = 7
SPEC = InputSpec((448, 448), letterbox=LetterboxPolicy(align="stretch"), dynamic=False)


def plain_conv(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Return a convolution and its activation, without normalization."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2), leaky())


class LocalConv(nn.Module):
    """A convolution with separate filters and bias at every position: (B, C, S, S) -> (B, out_channels, S, S).

    The weight is (S * S, out_channels, C, kernel, kernel), with positions row by row. The bias is (out_channels, S, S).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, side: int = CELLS) -> None:
        super().__init__()
        self.kernel = kernel
        bound = (in_channels * kernel**2) ** -0.5
        self.weight = nn.Parameter(torch.empty(side**2, out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(out_channels, side, side))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, self.kernel, padding=self.kernel // 2)  # (B, C * kernel * kernel, S * S)
        out = self.weight.flatten(2) @ patches.permute(2, 1, 0)  # (S * S, out_channels, B)
        return out.permute(2, 1, 0).unflatten(2, self.bias.shape[1:]) + self.bias


class YOLOv1Backbone(nn.Module):
    """The 20 convolutions pre-trained as a classifier (figure 3). Returns c5, with 16 times the width."""

    def __init__(self, width: int, conv: ConvFactory) -> None:
        super().__init__()
        w = width
        self.c1 = conv(3, w, 7, 2)
        self.c2 = conv(w, 3 * w, 3)
        self.c3 = nn.Sequential(_squeeze(3 * w, 2 * w, 4 * w, conv), _squeeze(4 * w, 4 * w, 8 * w, conv))
        squeezes = (_squeeze(8 * w, 4 * w, 8 * w, conv) for _ in range(4))
        self.c4 = nn.Sequential(*squeezes, _squeeze(8 * w, 8 * w, 16 * w, conv))
        self.c5 = nn.Sequential(*(_squeeze(16 * w, 8 * w, 16 * w, conv) for _ in range(2)))
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        c2 = self.c2(self.pool(self.c1(x)))
        c4 = self.c4(self.pool(self.c3(self.pool(c2))))
        return self.c5(self.pool(c4))


def _squeeze(in_channels: int, squeezed: int, out_channels: int, conv: ConvFactory) -> nn.Sequential:
    """Return a 1x1 convolution followed by a 3x3 convolution."""
    return nn.Sequential(conv(in_channels, squeezed, 1), conv(squeezed, out_channels, 3))


class TinyBackbone(nn.Sequential):
    """Seven 3x3 convolutions of 16 to 1024 channels, with a pool after each of the first six."""

    def __init__(self, conv: ConvFactory) -> None:
        widths = [16 * 2**level for level in range(7)]
        pairs = [(conv(w_in, w_out, 3), nn.MaxPool2d(2, 2)) for w_in, w_out in zip([3, *widths], widths, strict=False)]
        super().__init__(*[layer for pair in pairs for layer in pair][:-1])


def extra(channels: int, conv: ConvFactory) -> nn.Sequential:
    """Return the four convolutions that detection adds to those of the classifier."""
    return nn.Sequential(*(conv(channels, channels, 3, stride) for stride in (1, 2, 1, 1)))


def connected(channels: int, features: int) -> nn.Sequential:
    """Return the paper's mix, in which every feature depends on every cell."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * CELLS**2, features), leaky(), nn.Dropout())


def local(channels: int, features: int) -> nn.Sequential:
    """Return the mix of Darknet's later network, in which a feature depends on the cells around its own."""
    return nn.Sequential(LocalConv(channels, features // CELLS**2), leaky(), nn.Dropout())


def fast_neck() -> nn.Sequential:
    """Return the end of Fast YOLO: the eighth and ninth convolution, a narrow and a wide linear layer.

    The paper does not list the layers. With the seven convolutions before and the prediction after, these give a file
    of 180,357,512 bytes, the size of the authors' file.
    """
    convs = (plain_conv(1024, 1024, 3), plain_conv(1024, 1024, 3))
    narrow = nn.Linear(1024 * CELLS**2, 256)
    return nn.Sequential(*convs, nn.Flatten(), narrow, nn.Linear(256, 4096), leaky(), nn.Dropout())


@dataclass(frozen=True)
class YOLOv1Config:
    """Blocks and channels of a variant."""

    conv: ConvFactory
    """Builds every convolution."""
    mix: Callable[[int, int], nn.Sequential]
    """Builds the layer between the convolutions and the prediction, called with (channels, features)."""
    features: int
    """Input features of the prediction."""
    boxes: int = 2
    """Boxes per cell."""
    width: int = 64
    """Channels of the first convolution."""


VARIANTS = {
    "yolov1-paper": YOLOv1Config(plain_conv, connected, 4096),
    "yolov1": YOLOv1Config(darknet_conv, local, 256 * CELLS**2, boxes=3),
    "yolov1-test": YOLOv1Config(darknet_conv, local, CELLS**2, width=1),
}


@register(FAMILY, VARIANTS, class_names=VOC_NAMES)
def yolov1(variant: str, class_names: Sequence[str]) -> Detector:
    """Build YOLOv1, of the paper or of Darknet."""
    config = VARIANTS[variant]
    channels = 16 * config.width
    neck = nn.Sequential(extra(channels, config.conv), config.mix(channels, config.features))
    head = GridHead(config.features, len(class_names), boxes=config.boxes)
    return Detector(FAMILY.name, variant, YOLOv1Backbone(config.width, config.conv), neck, head, SPEC, class_names)


@register(FAMILY, ("yolov1-tiny",), class_names=VOC_NAMES)
def yolov1_tiny(variant: str, class_names: Sequence[str]) -> Detector:
    """Build Darknet's tiny YOLOv1."""
    head = GridHead(256 * CELLS**2, len(class_names), boxes=2)
    neck = darknet_conv(1024, 256, 3)
    return Detector(FAMILY.name, variant, TinyBackbone(darknet_conv), neck, head, SPEC, class_names)


@register(FAMILY, ("yolov1-fast",), class_names=VOC_NAMES)
def yolov1_fast(variant: str, class_names: Sequence[str]) -> Detector:
    """Build Fast YOLO."""
    head = GridHead(4096, len(class_names), boxes=2)
    return Detector(FAMILY.name, variant, TinyBackbone(plain_conv), fast_neck(), head, SPEC, class_names)
