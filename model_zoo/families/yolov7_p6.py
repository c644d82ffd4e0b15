"""YOLOv7-W6, E6, D6 and E6E (2022, arXiv:2207.02696, section 5.1): four levels for 1280 px, auxiliary heads.

      images ── stem /2 ── down2 ── c2 /4
                                    │ down3
                                    c3 /8 ───── lateral3 ── up3 ═ p3 ────────────── out3 ─► lead
                                    │ down4                  ▲ reduce4     │ down4
                                    c4 /16 ──── lateral4 ── up4 ───────► merge4 ═ p4 ── out4 ─► lead
                                    │ down5                  ▲ reduce5     │ down5
                                    c5 /32 ──── lateral5 ── up5 ───────► merge5 ═ p5 ── out5 ─► lead
                                    │ down6                  ▲ reduce6     │ down6
                                    c6 /64 ──── pyramid ─────┴─────────► merge6 ═ p6 ── out6 ─► lead

In training the top-down maps (up3, up4, up5 and the pyramid) have auxiliary heads.

Changes since `yolov7`: one more level. Space to depth before the first convolution (Focus). Strided convolutions in W6
and DownC (MPConv with a full-width 1x1 convolution) in the others. No RepConv. The ELANs of W6 have two blocks, those
of E6 three and of D6 four. E6E is E6 with E-ELAN instead of ELAN.

Where we differ: nothing in the numbers. The paper's size of D6 (154.7 M, 806.8 GFLOPs) includes the auxiliary heads;
its sizes of the other models do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv
from model_zoo.blocks.elan import EELAN, ELAN
from model_zoo.blocks.focus import Focus
from model_zoo.blocks.mp_conv import DownC
from model_zoo.blocks.sppcspc import SPPCSPC
from model_zoo.detector import Detector, InputSpec
from model_zoo.families.yolov7 import FAMILY, Stage
from model_zoo.heads.anchor import Anchors
from model_zoo.heads.implicit import AuxiliaryHead
from model_zoo.registry import register

ANCHORS: Anchors = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
STRIDES = (8, 16, 32, 64)


def strided_conv(in_channels: int, out_channels: int) -> nn.Module:
    """Return a 3x3 convolution of stride 2."""
    return Conv(in_channels, out_channels, 3, 2)


@dataclass(frozen=True)
class YOLOv7P6Config:
    """Channels and blocks of a variant."""

    width: int
    """Unit of the channels between the ELANs."""
    hidden: int = 64
    """Unit of the channels inside the ELANs."""
    auxiliary: int = 4
    """Channels of the finest auxiliary head, in units of `width`."""
    blocks: int = 2
    """Blocks in the ELANs of the backbone, of two convolutions. Those of the neck have twice as many, of one."""
    elan: type[ELAN] | type[EELAN] = ELAN
    """Block of all aggregations."""
    down: Stage = DownC
    """Builds the downsampling."""

    @property
    def neck(self) -> list[int]:
        """Channels of p3, p4, p5 and p6."""
        return [self.width * k for k in (2, 4, 6, 8)]

    def aggregate(self, in_channels: int, hidden: int, out_channels: int) -> nn.Module:
        """Return an aggregation of the backbone, with `hidden` in units."""
        return self.elan(in_channels, self.hidden * hidden, out_channels, blocks=self.blocks, depth=2)

    def merge(self, in_channels: int, hidden: int, out_channels: int) -> nn.Module:
        """Return an aggregation of the neck, with `hidden` in units and blocks of half the width."""
        return self.elan(in_channels, self.hidden * hidden, out_channels, blocks=2 * self.blocks, depth=1, narrowing=2)


VARIANTS = {
    "yolov7-w6": YOLOv7P6Config(64, auxiliary=5, down=strided_conv),
    "yolov7-e6": YOLOv7P6Config(80, blocks=3),
    "yolov7-d6": YOLOv7P6Config(96, blocks=4),
    "yolov7-e6e": YOLOv7P6Config(80, blocks=3, elan=EELAN),
    "yolov7-p6-test": YOLOv7P6Config(2, hidden=2, blocks=1),
}


class YOLOv7P6Backbone(nn.Module):
    """Stem and stages. Returns c3, c4, c5 and the pyramid over c6."""

    def __init__(self, config: YOLOv7P6Config) -> None:
        super().__init__()
        w1, w2, w3, w4, w5, w6 = (config.width * k for k in (1, 2, 4, 8, 12, 16))
        self.stem = Focus(3, w1)
        self.down2 = config.down(w1, w2)
        self.c2 = config.aggregate(w2, 1, w2)
        self.down3 = config.down(w2, w3)
        self.c3 = config.aggregate(w3, 2, w3)
        self.down4 = config.down(w3, w4)
        self.c4 = config.aggregate(w4, 4, w4)
        self.down5 = config.down(w4, w5)
        self.c5 = config.aggregate(w5, 6, w5)
        self.down6 = config.down(w5, w6)
        self.c6 = config.aggregate(w6, 8, w6)
        self.pyramid = SPPCSPC(w6, w6 // 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        c2 = self.c2(self.down2(self.stem(x)))
        c3 = self.c3(self.down3(c2))
        c4 = self.c4(self.down4(c3))
        c5 = self.c5(self.down5(c4))
        c6 = self.c6(self.down6(c5))
        return c3, c4, c5, self.pyramid(c6)


class YOLOv7P6Neck(nn.Module):
    """Top-down and bottom-up path: (c3, c4, c5, pyramid) -> four maps for lead heads, four for auxiliary heads."""

    def __init__(self, config: YOLOv7P6Config) -> None:
        super().__init__()
        w3, w4, w5 = (config.width * k for k in (4, 8, 12))
        p3, p4, p5, p6 = config.neck
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.reduce6 = Conv(p6, p5)
        self.lateral5 = Conv(w5, p5)
        self.up5 = config.merge(2 * p5, 6, p5)
        self.reduce5 = Conv(p5, p4)
        self.lateral4 = Conv(w4, p4)
        self.up4 = config.merge(2 * p4, 4, p4)
        self.reduce4 = Conv(p4, p3)
        self.lateral3 = Conv(w3, p3)
        self.up3 = config.merge(2 * p3, 2, p3)
        self.down4 = config.down(p3, p4)
        self.merge4 = config.merge(2 * p4, 4, p4)
        self.down5 = config.down(p4, p5)
        self.merge5 = config.merge(2 * p5, 6, p5)
        self.down6 = config.down(p5, p6)
        self.merge6 = config.merge(2 * p6, 8, p6)
        self.out3, self.out4, self.out5, self.out6 = (Conv(p, 2 * p, 3) for p in config.neck)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        c3, c4, c5, t6 = maps
        t5 = self.up5(torch.cat([self.lateral5(c5), self.upsample(self.reduce6(t6))], dim=1))
        t4 = self.up4(torch.cat([self.lateral4(c4), self.upsample(self.reduce5(t5))], dim=1))
        p3 = self.up3(torch.cat([self.lateral3(c3), self.upsample(self.reduce4(t4))], dim=1))
        p4 = self.merge4(torch.cat([self.down4(p3), t4], dim=1))
        p5 = self.merge5(torch.cat([self.down5(p4), t5], dim=1))
        p6 = self.merge6(torch.cat([self.down6(p5), t6], dim=1))
        return self.out3(p3), self.out4(p4), self.out5(p5), self.out6(p6), p3, t4, t5, t6


@register(FAMILY, VARIANTS)
def yolov7_p6(variant: str, class_names: Sequence[str], auxiliary: int = 1) -> Detector:
    """Build a variant of YOLOv7 for 1280 px, without auxiliary heads if `auxiliary` is 0."""
    config = VARIANTS[variant]
    branches = [(p, config.width * config.auxiliary * k) for k, p in enumerate(config.neck, 1) if auxiliary]
    head = AuxiliaryHead([2 * p for p in config.neck], len(class_names), ANCHORS, STRIDES, branches)
    backbone, neck = YOLOv7P6Backbone(config), YOLOv7P6Neck(config)
    spec = InputSpec((1280, 1280), shapes="buckets")
    return Detector(FAMILY.name, variant, backbone, neck, head, spec, class_names)
