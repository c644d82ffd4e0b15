"""Scaled-YOLOv4 (2020, arXiv:2011.08036): YOLOv4 with cross-stage-partial blocks throughout, wider and deeper.

      images ── stem ── c1 /2 ── c2 /4
                                  │
                                 c3 /8  ── lateral3 ── cat ── top3 ─────────────────────── out3 ─► predict
                                  │                     ▲ 2x, reduce4   │ down4
                                 c4 /16 ── lateral4 ── cat ── top4 ─── cat ── bottom4 ──── out4 ─► predict
                                  │                     ▲ 2x, reduce5            │ down5
                                 c5 /32 ─────────────── top5 (CSPSPP) ──────── cat ── bottom5 ── out5 ─► predict

      CSPSPP     x ─┬─ enter ─ before ─ pools 13, 9, 5 ─ after ─┐
                    └─ around ──────────────────────────────── cat ─ merge
      CSPGroup   x ─ enter ─┬─ convolutions ─┐
                            └─ around ───── cat ─ merge

Changes since YOLOv4: the wiring is the same, but the groups of the neck are cross-stage-partial too, without shortcuts.
One activation serves the whole network: Mish, or Swish in `-swish`. Boxes are decoded as in YOLOv5 (`new_coords`): x =
2p - 1/2 + cell, w = (2p)^2 anchor, where p is the sigmoid of the raw number. The first stage is a plain residual one,
as in Darknet-53; in P5 it is cross-stage-partial like all others.

`yolov4x-mish` and `yolov4-csp-x-mish` are the same network with different weights. `yolov4-csp` and `-swish` differ by
the activation only. P6 and P7 are not implemented.

Where we differ: raw maps are logits. In Darknet, the last convolution applies the sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from model_zoo.backbones.csp_darknet53 import CSPDarknet53, CSPStage
from model_zoo.blocks.conv import Activation, ConvFactory
from model_zoo.blocks.darknet import PyramidPool, Residual, darknet_conv
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import Detector, InputSpec
from model_zoo.families.yolov4 import ANCHORS, FAMILY
from model_zoo.heads.anchor import Anchors
from model_zoo.heads.darknet import ScaledYOLOv4Head
from model_zoo.necks.concat_pan import ConcatPAN
from model_zoo.registry import register

P5_ANCHORS: Anchors = (
    ((13, 17), (31, 25), (24, 51), (61, 45)),
    ((48, 102), (119, 96), (97, 189), (217, 184)),
    ((171, 384), (324, 451), (616, 618), (800, 800)),
)
DARKNET_LETTERBOX = LetterboxPolicy(align="center", rounding="floor", fill=128)


@dataclass(frozen=True)
class CSPConfig:
    """Channels, depth and blocks of a variant."""

    channels: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    """Channels of the stem and the five stages."""
    depths: tuple[int, ...] = (1, 2, 8, 8, 4)
    """Residuals per stage."""
    partial_start: bool = False
    """Whether the first stage is cross-stage-partial."""
    group: int = 2
    """Pairs of convolutions in each group of the neck."""
    after: int = 1
    """Pairs of convolutions after the pools."""
    activation: Activation = nn.Mish
    """Activation of the whole network."""
    anchors: Anchors = ANCHORS
    """Anchors of each level."""
    size: Size = (640, 640)
    """Input size."""


X = CSPConfig(channels=(32, 80, 160, 320, 640, 1280), depths=(1, 3, 10, 10, 5), group=3, after=2)
VARIANTS = {
    "yolov4-csp": CSPConfig(size=(512, 512)),
    "yolov4-csp-swish": CSPConfig(activation=nn.SiLU),
    "yolov4-csp-x-mish": X,
    "yolov4x-mish": X,
    "yolov4-p5": CSPConfig(depths=(1, 3, 15, 15, 7), partial_start=True, group=3, anchors=P5_ANCHORS, size=(896, 896)),
    "yolov4-csp-test": CSPConfig((1, 2, 4, 8, 16, 32), (1, 1, 1, 1, 1), group=1, size=(416, 416)),
}


class CSPGroup(nn.Module):
    """Send a projected map through pairs of 1x1 and 3x3 convolutions and a bypass (arXiv:2011.08036, section 3.2)."""

    def __init__(self, in_channels: int, channels: int, *, pairs: int, conv: ConvFactory) -> None:
        super().__init__()
        self.enter = conv(in_channels, channels, 1)
        self.around = conv(channels, channels, 1)
        self.convolutions = _pairs(channels, pairs, conv)
        self.merge = conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.merge(torch.cat([self.convolutions(x), self.around(x)], dim=1))


class CSPSPP(nn.Module):
    """A group with pyramid pooling, followed by `after` pairs of 1x1 and 3x3 convolutions."""

    def __init__(self, in_channels: int, channels: int, *, after: int, conv: ConvFactory) -> None:
        super().__init__()
        self.around = conv(in_channels, channels, 1)
        self.enter = conv(in_channels, channels, 1)
        self.before = nn.Sequential(conv(channels, channels, 3), conv(channels, channels, 1))
        self.pool = PyramidPool()
        self.after = nn.Sequential(
            conv(4 * channels, channels, 1), conv(channels, channels, 3), _pairs(channels, after - 1, conv)
        )
        self.merge = conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        path = self.after(self.pool(self.before(self.enter(x))))
        return self.merge(torch.cat([path, self.around(x)], dim=1))


def _pairs(channels: int, count: int, conv: ConvFactory) -> nn.Sequential:
    pairs = [(conv(channels, channels, 1), conv(channels, channels, 3)) for _ in range(count)]
    return nn.Sequential(*(each for pair in pairs for each in pair))


def backbone(config: CSPConfig, conv: ConvFactory) -> CSPDarknet53:
    """Return CSPDarknet53 with a plain or a cross-stage-partial first stage."""
    w0, w1, *_ = config.channels
    plain = nn.Sequential(conv(w0, w1, 3, 2), *(Residual(w1, conv=conv) for _ in range(config.depths[0])))
    c1 = CSPStage(w0, w1, config.depths[0], conv=conv) if config.partial_start else plain
    return CSPDarknet53(c1, config.channels, config.depths[1:], conv=conv)


@register(FAMILY, VARIANTS)
def yolov4_csp(variant: str, class_names: Sequence[str]) -> Detector:
    """Build a variant of Scaled-YOLOv4."""
    config = VARIANTS[variant]
    conv = partial(darknet_conv, activation=config.activation)
    spp, group = partial(CSPSPP, after=config.after, conv=conv), partial(CSPGroup, pairs=config.group, conv=conv)
    channels = config.channels[3:]
    neck = ConcatPAN(channels, spp=spp, group=group, conv=conv)
    head = ScaledYOLOv4Head(channels, len(class_names), config.anchors, strides=(8, 16, 32))
    spec = InputSpec(config.size, letterbox=DARKNET_LETTERBOX)
    return Detector(FAMILY.name, variant, backbone(config, conv), neck, head, spec, class_names)
