"""YOLOv6 3.0 and 4.0 (2023, arXiv:2301.05586): every fusion of the neck joins three resolutions.

      images ── stem /2 ── down2 ── c2 /4 ───────────────────────────────────────┐
                                    │                                            ▼
                                  down3 ── c3 /8 ────────────────────┬───────► up3 ──────── p3 ─► predict
                                    │                                ▼           ▲ reduce4    │ down
                                  down4 ── c4 /16 ─────────────────► up4 ────────┴──────────► p4 ─► predict
                                    │                                 ▲ reduce5               │ down
                                  down5 ── c5 /32 ── pyramid ─────────┴─────────────────────► p5 ─► predict
                                    │
                                  (down6 ── c6 /64: `yolov6n6-v3`, for 1280 px, has a fourth level)

Changes since 2.0: `up` is bi-directional concatenation (BiC) of the deeper map, the backbone's map of the same size and
the backbone's next finer map. Pyramid pooling of N and S is cross-stage-partial. Convolutions of L have no bias.

In training the head may have branches that the deployed form does not have (sections 2.2 and 2.3). `-fuseab`
(anchor-aided training) predicts on anchors: all boxes, then all classes, anchor by anchor. `-distill` of N and S
predicts boxes as distributions, for self-distillation; M and L do so anyway.

Where we differ: the initial weights of the head, as in 2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from model_zoo.blocks.bi_fusion import BiFusion
from model_zoo.blocks.cspsppf import SimCSPSPPF
from model_zoo.blocks.rep_block import SimConv
from model_zoo.detector import Detector, InputSpec
from model_zoo.families.yolov6 import (
    FAMILY,
    MEDIUM,
    SCALES,
    Blocks,
    DownMerge,
    EfficientRep,
    RepPAN,
    YOLOv6Config,
    large,
    plain,
)
from model_zoo.heads.anchor import Anchors
from model_zoo.heads.efficient import BINS, DistillationBranch, EfficientHead, Prediction
from model_zoo.registry import register

ANCHORS: Anchors = (  # of anchor-aided training, in pixels
    ((10, 13), (19, 19), (33, 23)),
    ((30, 61), (59, 59), (59, 119)),
    ((116, 90), (185, 185), (373, 326)),
)


@dataclass(frozen=True)
class YOLOv6V3Config(YOLOv6Config):
    """Variant of 3.0: that of 2.0, plus levels and branches for training."""

    levels: int = 3
    """Number of output levels."""
    anchor_aided: bool = False
    """Whether training uses predictions on anchors."""
    taught_bins: int = 0
    """Bins of the distillation branch, or 0 for none."""


SMALL = Blocks(pyramid=SimCSPSPPF)
SIZES = {
    "n": YOLOv6V3Config(*SCALES["n"], SMALL),
    "s": YOLOv6V3Config(*SCALES["s"], SMALL),
    "m": YOLOv6V3Config(*SCALES["m"], MEDIUM, BINS),
    "l": YOLOv6V3Config(*SCALES["l"], large(plain), BINS),
}
VARIANTS = {
    **{f"yolov6{size}-v3": config for size, config in SIZES.items()},
    "yolov6n6-v3": replace(SIZES["n"], levels=4),
    **{f"yolov6{size}-v3-fuseab": replace(config, anchor_aided=True) for size, config in SIZES.items()},
    **{f"yolov6{size}-v3-distill": replace(SIZES[size], taught_bins=BINS) for size in "ns"},
    "yolov6-v3-test": YOLOv6V3Config(0.33, 1 / 32, MEDIUM, BINS, anchor_aided=True),
}


class EfficientRep6(nn.Module):
    """Stem and stages for four levels. Returns c2, c3, c4, c5 (narrower) and the pyramid over c6."""

    def __init__(self, config: YOLOv6Config) -> None:
        super().__init__()
        w1, w2, w3, w4, w5, w6 = config.channels(64, 128, 256, 512, 768, 1024)
        self.stem = config.blocks.spatial(3, w1, 2)
        self.down2 = config.blocks.spatial(w1, w2, 2)
        self.c2 = config.stage(w2, w2, 6)
        self.down3 = config.blocks.spatial(w2, w3, 2)
        self.c3 = config.stage(w3, w3, 12)
        self.down4 = config.blocks.spatial(w3, w4, 2)
        self.c4 = config.stage(w4, w4, 18)
        self.down5 = config.blocks.spatial(w4, w5, 2)
        self.c5 = config.stage(w5, w5, 6)
        self.down6 = config.blocks.spatial(w5, w6, 2)
        self.c6 = config.stage(w6, w6, 6)
        self.pyramid = config.blocks.pyramid(w6, w6)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        c2 = self.c2(self.down2(self.stem(x)))
        c3 = self.c3(self.down3(c2))
        c4 = self.c4(self.down4(c3))
        c5 = self.c5(self.down5(c4))
        c6 = self.c6(self.down6(c5))
        return c2, c3, c4, c5, self.pyramid(c6)


class BiUpMerge(nn.Module):
    """Fuse three maps to the size of the middle one and the channels of the deep one, then merge."""

    def __init__(self, deep: int, same: int, finer: int, config: YOLOv6Config) -> None:
        super().__init__()
        self.fusion = BiFusion(deep, same, finer)
        self.merge = config.stage(deep, deep, 12)

    def forward(self, deep: Tensor, same: Tensor, finer: Tensor) -> Tensor:
        return self.merge(self.fusion(deep, same, finer))


class RepBiPAN6(nn.Module):
    """Top-down and bottom-up path over four levels: (c2, c3, c4, c5, c6) -> (p3, p4, p5, p6)."""

    def __init__(self, config: YOLOv6Config) -> None:
        super().__init__()
        w2, w3, w4, w5, w6 = config.channels(128, 256, 512, 768, 1024)
        p3, p4, p5, p6 = config.channels(128, 256, 512, 1024)
        self.reduce6 = SimConv(w6, p5)
        self.up5 = BiUpMerge(p5, w5, w4, config)
        self.reduce5 = SimConv(p5, p4)
        self.up4 = BiUpMerge(p4, w4, w3, config)
        self.reduce4 = SimConv(p4, p3)
        self.up3 = BiUpMerge(p3, w3, w2, config)
        self.down4 = DownMerge(p3, p3, p4, config)
        self.down5 = DownMerge(p4, p4, p5, config)
        self.down6 = DownMerge(p5, p5, p6, config)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        c2, c3, c4, c5, c6 = maps
        t6 = self.reduce6(c6)
        t5 = self.reduce5(self.up5(t6, c5, c4))
        t4 = self.reduce4(self.up4(t5, c4, c3))
        p3 = self.up3(t4, c3, c2)
        p4 = self.down4(p3, t4)
        p5 = self.down5(p4, t5)
        return p3, p4, p5, self.down6(p5, t6)


@register(FAMILY, VARIANTS)
def yolov6_v3(variant: str, class_names: Sequence[str], bins: int = 0, taught_bins: int = 0) -> Detector:
    """Build a variant of YOLOv6 3.0. `bins` and `taught_bins` override those of the variant if they are not 0."""
    config = VARIANTS[variant]
    config = replace(config, bins=bins or config.bins, taught_bins=taught_bins or config.taught_bins)
    backbone, neck = _body(config)
    size = (1280, 1280) if config.levels == 4 else (640, 640)
    head = _head(config, len(class_names))
    return Detector(FAMILY.name, variant, backbone, neck, head, InputSpec(size), class_names)


def _body(config: YOLOv6V3Config) -> tuple[nn.Module, nn.Module]:
    if config.levels == 4:
        return EfficientRep6(config), RepBiPAN6(config)
    return EfficientRep(config), RepPAN(config, up=BiUpMerge)


def _head(config: YOLOv6V3Config, num_classes: int) -> EfficientHead:
    channels = config.channels(128, 256, 512, 1024)[: config.levels]
    added = [module for c in channels for module in _added(config, c, num_classes)]
    return EfficientHead(channels, num_classes, (8, 16, 32, 64)[: config.levels], config.bins, added=added)


def _added(config: YOLOv6V3Config, channels: int, num_classes: int) -> list[nn.Module]:
    """Return the modules that one level has only in training: one or none."""
    if config.anchor_aided:
        return [Prediction(channels, 4 * len(ANCHORS[0]), num_classes * len(ANCHORS[0]))]
    return [DistillationBranch(channels, config.taught_bins)] if config.taught_bins else []
