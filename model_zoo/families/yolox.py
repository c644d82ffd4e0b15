"""YOLOX (2021, arXiv:2107.08430).

      images ── stem /2 ── down2 ── c2 /4
                                    │
                                  down3 ── c3 /8 ──────────────────────────────► up3 ──────── p3 ─► level
                                    │                                             ▲ reduce4    │ down
                                  down4 ── c4 /16 ───────────────────► up4 ───────┴──────────► p4 ─► level
                                    │                                   ▲ reduce5              │ down
                                  down5 ── spp ── c5 /32 ───────────────┴────────────────────► p5 ─► level

                           ┌── class branch: 3x3, 3x3 ── classes
      level:  p ── 1x1 stem┤
                           └── box branch:   3x3, 3x3 ─┬ box
                                                       └ objectness

Input pixels are BGR, 0..255, and the letterbox puts the image at the top left. `yolox-nano` replaces 3x3 convolutions,
except in the stem, with depthwise separable ones. `yolox-darknet53` is the paper's baseline, on YOLOv3's backbone and
top-down path.

Where we differ: nothing in the network. Weights older than release 0.1.1rc0 expect normalized RGB. They do not work
here, and nothing in a file indicates its release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from model_zoo.backbones.csp_darknet import CSPDarknet
from model_zoo.backbones.darknet import Darknet53
from model_zoo.blocks.conv import Conv, ConvFactory
from model_zoo.blocks.darknet import conv_set, leaky
from model_zoo.blocks.scaling import scaled_depth
from model_zoo.blocks.spp import SPP
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import Detector, InputSpec
from model_zoo.heads.decoupled import DecoupledHead
from model_zoo.necks.pan import PAN
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolox",
    year=2021,
    summary=(
        "YOLOX (2021, arXiv:2107.08430): a decoupled head without anchors, on the network of YOLOv5 v5.0 or of YOLOv3."
    ),
    changes=(
        "Changes since YOLOv5 v5.0 (Focus stem, SPP before c5): separate branches of 3x3 convolutions for classes and "
        "boxes. One prediction per cell instead of three. Centers relative to the corner of the cell; sizes by exp, "
        "not bounded by an anchor. SimOTA as assigner."
    ),
)
LETTERBOX = LetterboxPolicy(align="top_left", rounding="floor")


class DepthwiseConv(nn.Module):
    """Depthwise separable convolution: per channel, then 1x1. Both are normalized and activated."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = Conv(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.pointwise = Conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


@dataclass(frozen=True)
class YOLOXConfig:
    """Scale, input and convolutions of a variant."""

    depth: float
    """Factor on the repeats of the table."""
    width: float
    """Factor on the channels of the table."""
    size: Size = (640, 640)
    """Input size."""
    spatial: ConvFactory = Conv
    """Builds the convolutions larger than 1x1."""

    @property
    def repeats(self) -> int:
        """Bottlenecks in every merge of the neck, in c2 and in c5."""
        return scaled_depth(3, self.depth)

    def channels(self, *table: int) -> list[int]:
        """Return channels of the table, scaled and truncated (YOLOv5 rounds up to multiples of 8)."""
        return [int(c * self.width) for c in table]


VARIANTS = {
    "yolox-nano": YOLOXConfig(0.33, 0.25, size=(416, 416), spatial=DepthwiseConv),
    "yolox-tiny": YOLOXConfig(0.33, 0.375, size=(416, 416)),
    "yolox-s": YOLOXConfig(0.33, 0.5),
    "yolox-m": YOLOXConfig(0.67, 0.75),
    "yolox-l": YOLOXConfig(1.0, 1.0),
    "yolox-x": YOLOXConfig(1.33, 1.25),
    "yolox-test": YOLOXConfig(0.33, 0.0625, size=(416, 416), spatial=DepthwiseConv),
}
DARKNET53 = "yolox-darknet53"


@register(FAMILY, VARIANTS)
def yolox(variant: str, class_names: Sequence[str]) -> Detector:
    """Build a variant of YOLOX on the CSP backbone."""
    config = VARIANTS[variant]
    w1, w2, w3, w4, w5, head_width = config.channels(64, 128, 256, 512, 1024, 256)
    backbone = CSPDarknet((w1, w2, w3, w4, w5), config.repeats, spatial=config.spatial)
    neck = PAN((w3, w4, w5), config.repeats, spatial=config.spatial)
    head = DecoupledHead((w3, w4, w5), [head_width] * 3, len(class_names), spatial=config.spatial)
    return Detector(FAMILY.name, variant, backbone, neck, head, _input_spec(config.size), class_names)


class TopDown(nn.Module):
    """YOLOv3's top-down path: (c3, c4, c5) of 256, 512, 1024 channels -> (p3, p4, p5) of half as many each.

    The set of the deepest map includes pyramid pooling. The final 3x3 convolutions of YOLOv3's path are in the head.
    """

    def __init__(self, conv: ConvFactory) -> None:
        super().__init__()
        self.set5 = nn.Sequential(
            conv(1024, 512, 1), conv(512, 1024, 3), SPP(1024, 512, conv=conv), conv(512, 1024, 3), conv(1024, 512, 1)
        )
        self.reduce5 = conv(512, 256, 1)
        self.set4 = conv_set(256 + 512, 256, conv=conv)
        self.reduce4 = conv(256, 128, 1)
        self.set3 = conv_set(128 + 256, 128, conv=conv)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        c3, c4, c5 = maps
        p5 = self.set5(c5)
        p4 = self.set4(torch.cat([self.upsample(self.reduce5(p5)), c4], dim=1))
        p3 = self.set3(torch.cat([self.upsample(self.reduce4(p4)), c3], dim=1))
        return p3, p4, p5


@register(FAMILY, (DARKNET53,))
def yolox_darknet53(variant: str, class_names: Sequence[str]) -> Detector:
    """Build YOLOX on Darknet-53, with leaky activations throughout."""
    conv = partial(Conv, activation=leaky)
    head = DecoupledHead((128, 256, 512), [256] * 3, len(class_names), conv=conv, spatial=conv)
    spec = _input_spec((640, 640))
    return Detector(FAMILY.name, variant, Darknet53(conv=conv), TopDown(conv), head, spec, class_names)


def _input_spec(size: Size) -> InputSpec:
    return InputSpec(size, color="BGR", scale=1.0, letterbox=LETTERBOX)
