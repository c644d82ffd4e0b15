"""YOLOv7 for 640 px (2022, arXiv:2207.02696). The models for 1280 px are in `yolov7_p6.py`.

      images ── stem ── c2 /4
                        │ down3
                        c3 /8 ───── lateral3 ── up3 ═ p3 ────────────── out3 ─► predict
                        │ down4                  ▲ reduce4     │ down4
                        c4 /16 ──── lateral4 ── up4 ───────► merge4 ═ p4 ── out4 ─► predict
                        │ down5                  ▲ reduce5     │ down5
                        c5 /32 ──── pyramid ─────┴─────────► merge5 ═ p5 ── out5 ─► predict

Every c, up and merge is an ELAN, every down an MPConv, the pyramid is SPPCSPC. Reduced maps are upsampled by 2. In
concatenations the lateral or strided map is first.

`yolov7x` has deeper ELANs. `-tiny` has leaky activations, pools between its stages, small ELANs and plain convolutions.

Where we differ: nothing in the numbers. The original lists single layers; here the blocks of the figure are modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv, ConvFactory
from model_zoo.blocks.darknet import leaky
from model_zoo.blocks.elan import ELAN
from model_zoo.blocks.mp_conv import MPConv
from model_zoo.blocks.reparam import RepConv
from model_zoo.blocks.sppcspc import SPPCSPC, TinySPPCSPC
from model_zoo.detector import Detector, InputSpec
from model_zoo.heads.anchor import Anchors
from model_zoo.heads.implicit import ImplicitHead
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolov7",
    year=2022,
    summary=(
        "YOLOv7 (2022, arXiv:2207.02696): layer aggregation (ELAN), planned re-parameterization, implicit knowledge."
    ),
    changes=(
        "Changes since YOLOv5: ELAN instead of C3. MPConv instead of strided convolutions. Lateral convolutions "
        "before the concatenations. SPPCSPC instead of SPPF. RepConv before the prediction (`yolov7` only) and "
        "learned constants around it (YOLOR). YOLOv4's anchors. The models for 1280 px add auxiliary heads and "
        "E-ELAN."
    ),
)
ANCHORS: Anchors = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)
TINY_ANCHORS: Anchors = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)

Stage = Callable[[int, int], nn.Module]  # (in_channels, out_channels)
Aggregation = Callable[[int, int, int], nn.Module]  # (in_channels, hidden, out_channels)

leaky_conv = partial(Conv, activation=leaky)
narrow_elan = partial(ELAN, blocks=4, depth=1, narrowing=2)  # ELAN-W of the necks
tiny_elan = partial(ELAN, blocks=2, depth=1, conv=leaky_conv)
deep_elan = partial(ELAN, blocks=3, depth=2)
spatial_conv = partial(Conv, kernel=3)


def max_pool(*_: int) -> nn.Module:
    """Return a 2x2 max pool, which keeps the channels."""
    return nn.MaxPool2d(2, 2)


@dataclass(frozen=True)
class YOLOv7Config:
    """Channels and blocks of a variant."""

    stem: Sequence[tuple[int, int]]
    """(channels, stride) of the convolutions of the stem."""
    backbone: Sequence[tuple[int, int]]
    """(hidden, output) channels of c2 to c5."""
    neck: Sequence[tuple[int, int]]
    """(hidden, output) channels of p3 to p5."""
    elan: Aggregation = ELAN
    """Builds the aggregations of the backbone."""
    neck_elan: Aggregation = narrow_elan
    """Builds the aggregations of the neck."""
    conv: ConvFactory = Conv
    """Builds single convolutions."""
    down: Stage = MPConv
    """Builds the downsampling of the backbone."""
    neck_down: Stage = MPConv
    """Builds the downsampling of the neck."""
    pyramid: Stage = SPPCSPC
    """Builds pyramid pooling."""
    out: Stage = spatial_conv
    """Builds the convolutions before the prediction."""
    anchors: Anchors = ANCHORS
    """Anchors of each level."""


VARIANTS = {
    "yolov7-tiny": YOLOv7Config(
        stem=((32, 2), (64, 2)),
        backbone=((32, 64), (64, 128), (128, 256), (256, 512)),
        neck=((32, 64), (64, 128), (128, 256)),
        elan=tiny_elan,
        neck_elan=tiny_elan,
        conv=leaky_conv,
        down=max_pool,
        neck_down=partial(leaky_conv, kernel=3, stride=2),
        pyramid=TinySPPCSPC,
        out=partial(leaky_conv, kernel=3),
        anchors=TINY_ANCHORS,
    ),
    "yolov7": YOLOv7Config(
        stem=((32, 1), (64, 2), (64, 1), (128, 2)),
        backbone=((64, 256), (128, 512), (256, 1024), (256, 1024)),
        neck=((128, 128), (256, 256), (512, 512)),
        out=RepConv,
    ),
    "yolov7x": YOLOv7Config(
        stem=((40, 1), (80, 2), (80, 1), (160, 2)),
        backbone=((64, 320), (128, 640), (256, 1280), (256, 1280)),
        neck=((128, 160), (256, 320), (512, 640)),
        elan=deep_elan,
        neck_elan=deep_elan,
    ),
    "yolov7-test": YOLOv7Config(
        stem=((4, 1), (4, 2), (4, 1), (8, 2)),
        backbone=((4, 16), (8, 24), (8, 32), (8, 32)),
        neck=((8, 8), (12, 12), (16, 16)),
        out=RepConv,
    ),
}


class YOLOv7Backbone(nn.Module):
    """Stem and stages. Returns c3, c4 and the pyramid over c5."""

    def __init__(self, config: YOLOv7Config) -> None:
        super().__init__()
        (h2, w2), (h3, w3), (h4, w4), (h5, w5) = config.backbone
        widths = [3, *(width for width, _ in config.stem)]
        self.stem = nn.Sequential(
            *(config.conv(widths[i], width, 3, stride) for i, (width, stride) in enumerate(config.stem))
        )
        self.c2 = config.elan(widths[-1], h2, w2)
        self.down3 = config.down(w2, w2)
        self.c3 = config.elan(w2, h3, w3)
        self.down4 = config.down(w3, w3)
        self.c4 = config.elan(w3, h4, w4)
        self.down5 = config.down(w4, w4)
        self.c5 = config.elan(w4, h5, w5)
        self.pyramid = config.pyramid(w5, w5 // 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        c2 = self.c2(self.stem(x))
        c3 = self.c3(self.down3(c2))
        c4 = self.c4(self.down4(c3))
        c5 = self.c5(self.down5(c4))
        return c3, c4, self.pyramid(c5)


class YOLOv7Neck(nn.Module):
    """Top-down and bottom-up path: (c3, c4, pyramid) -> out3, out4, out5 with twice the channels of p3, p4, p5."""

    def __init__(self, config: YOLOv7Config) -> None:
        super().__init__()
        (_, w3), (_, w4), (_, w5) = config.backbone[1:]
        (h3, p3), (h4, p4), (h5, p5) = config.neck
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.reduce5 = config.conv(w5 // 2, p4)
        self.lateral4 = config.conv(w4, p4)
        self.up4 = config.neck_elan(2 * p4, h4, p4)
        self.reduce4 = config.conv(p4, p3)
        self.lateral3 = config.conv(w3, p3)
        self.up3 = config.neck_elan(2 * p3, h3, p3)
        self.down4 = config.neck_down(p3, p4)
        self.merge4 = config.neck_elan(2 * p4, h4, p4)
        self.down5 = config.neck_down(p4, p5)
        self.merge5 = config.neck_elan(p5 + w5 // 2, h5, p5)
        self.out3, self.out4, self.out5 = (config.out(p, 2 * p) for p in (p3, p4, p5))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        c3, c4, t5 = maps
        t4 = self.up4(torch.cat([self.lateral4(c4), self.upsample(self.reduce5(t5))], dim=1))
        p3 = self.up3(torch.cat([self.lateral3(c3), self.upsample(self.reduce4(t4))], dim=1))
        p4 = self.merge4(torch.cat([self.down4(p3), t4], dim=1))
        p5 = self.merge5(torch.cat([self.down5(p4), t5], dim=1))
        return self.out3(p3), self.out4(p4), self.out5(p5)


@register(FAMILY, VARIANTS)
def yolov7(variant: str, class_names: Sequence[str]) -> Detector:
    """Build a variant of YOLOv7 for 640 px."""
    config = VARIANTS[variant]
    channels = [2 * p for _, p in config.neck]
    head = ImplicitHead(channels, len(class_names), config.anchors, strides=(8, 16, 32))
    backbone, neck = YOLOv7Backbone(config), YOLOv7Neck(config)
    spec = InputSpec((640, 640), shapes="buckets")
    return Detector(FAMILY.name, variant, backbone, neck, head, spec, class_names)
