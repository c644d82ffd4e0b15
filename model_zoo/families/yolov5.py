"""YOLOv5 (2020-2022, no paper).

      images ── stem /2 ── down2 ── c2 /4
                                    │
                                  down3 ── c3 /8 ─────────────────────────────► up3 ──────── p3 ─► predict
                                    │                                            ▲ reduce4    │ down
                                  down4 ── c4 /16 ─────────────────► up4 ────────┴──────────► p4 ─► predict
                                    │                                 ▲ reduce5               │ down
                                  down5 ── c5 /32 ── pyramid ─────────┴─────────────────────► p5 ─► predict
                                    │
                                  (down6 ── c6 /64: the 1280 px variants have a fourth level)

Every c, up and down is a C3 block (cross stage partial, three 1x1 convolutions); activations are SiLU.

The 6x6 stem exists since v6.0; before, there were a Focus stem and SPP inside c5 (`-focus` variants). The two stems
compute the same function with differently arranged weights. Official files of one do not fit the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from model_zoo.backbones.csp_darknet import CSPDarknet
from model_zoo.blocks.conv import Conv
from model_zoo.blocks.csp import C3
from model_zoo.blocks.scaling import scaled_depth, scaled_width
from model_zoo.blocks.spp import SPPF
from model_zoo.detector import Detector, InputSpec
from model_zoo.heads.anchor import AnchorHead, Anchors
from model_zoo.necks.pan import PAN, DownMerge, UpMerge
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolov5",
    year=2020,
    summary=(
        "YOLOv5 (2020-2022, no paper): CSP backbone with spatial pyramid pooling, PAN neck, anchors; one network "
        "scaled by depth and width."
    ),
    changes=(
        "Changes since YOLOv4: C3 blocks in the neck too. SiLU instead of Mish. A 6x6 stem (since v6.0). SPPF. "
        "Bounded decoding of sizes, (2 sigmoid)^2 x anchor. One table of channels and repeats, scaled by two factors."
    ),
)
P5_ANCHORS: Anchors = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
P6_ANCHORS: Anchors = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)


@dataclass(frozen=True)
class YOLOv5Config:
    """Scale, anchors and stem of a variant."""

    depth: float
    """Factor on the repeats of the table."""
    width: float
    """Factor on the channels of the table."""
    anchors: Anchors = P5_ANCHORS
    """Anchors of each level, in pixels."""
    focus: bool = False
    """Whether to use the Focus stem and the SPP of v5.0."""

    @property
    def levels(self) -> int:
        """Number of output levels: 3, or 4 for the 1280 px variants."""
        return len(self.anchors)

    def channels(self, *table: int) -> list[int]:
        """Return channels of the table, scaled."""
        return [scaled_width(c, self.width) for c in table]

    def repeats(self, table: int) -> int:
        """Return a number of repeats of the table, scaled."""
        return scaled_depth(table, self.depth)


SCALES = {"n": (1 / 3, 0.25), "s": (1 / 3, 0.5), "m": (2 / 3, 0.75), "l": (1.0, 1.0), "x": (4 / 3, 1.25)}
VARIANTS = {
    **{f"yolov5{size}": YOLOv5Config(*scale) for size, scale in SCALES.items()},
    **{f"yolov5{size}6": YOLOv5Config(*scale, P6_ANCHORS) for size, scale in SCALES.items()},
    **{f"yolov5{size}-focus": YOLOv5Config(*SCALES[size], focus=True) for size in "smlx"},
    "yolov5-test": YOLOv5Config(1 / 3, 1 / 16),
}


class YOLOv5Backbone(nn.Module):
    """Stem and stages of v6.x for three levels. Returns c3, c4, c5."""

    def __init__(self, config: YOLOv5Config) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = config.channels(64, 128, 256, 512, 1024)
        self.stem = Conv(3, w1, 6, 2, padding=2)
        self.down2 = Conv(w1, w2, 3, 2)
        self.c2 = C3(w2, w2, config.repeats(3))
        self.down3 = Conv(w2, w3, 3, 2)
        self.c3 = C3(w3, w3, config.repeats(6))
        self.down4 = Conv(w3, w4, 3, 2)
        self.c4 = C3(w4, w4, config.repeats(9))
        self.down5 = Conv(w4, w5, 3, 2)
        self.c5 = C3(w5, w5, config.repeats(3))
        self.pyramid = SPPF(w5, w5)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        c2 = self.c2(self.down2(self.stem(x)))  # (B, w2, H / 4, W / 4)
        c3 = self.c3(self.down3(c2))
        c4 = self.c4(self.down4(c3))
        c5 = self.c5(self.down5(c4))
        return c3, c4, self.pyramid(c5)


class YOLOv5P6Backbone(nn.Module):
    """Stem and stages of v6.x for four levels. Returns c3, c4, c5 (narrower) and the pyramid over c6."""

    def __init__(self, config: YOLOv5Config) -> None:
        super().__init__()
        w1, w2, w3, w4, w5, w6 = config.channels(64, 128, 256, 512, 768, 1024)
        self.stem = Conv(3, w1, 6, 2, padding=2)
        self.down2 = Conv(w1, w2, 3, 2)
        self.c2 = C3(w2, w2, config.repeats(3))
        self.down3 = Conv(w2, w3, 3, 2)
        self.c3 = C3(w3, w3, config.repeats(6))
        self.down4 = Conv(w3, w4, 3, 2)
        self.c4 = C3(w4, w4, config.repeats(9))
        self.down5 = Conv(w4, w5, 3, 2)
        self.c5 = C3(w5, w5, config.repeats(3))
        self.down6 = Conv(w5, w6, 3, 2)
        self.c6 = C3(w6, w6, config.repeats(3))
        self.pyramid = SPPF(w6, w6)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        c2 = self.c2(self.down2(self.stem(x)))  # (B, w2, H / 4, W / 4)
        c3 = self.c3(self.down3(c2))
        c4 = self.c4(self.down4(c3))
        c5 = self.c5(self.down5(c4))
        c6 = self.c6(self.down6(c5))
        return c3, c4, c5, self.pyramid(c6)


class YOLOv5P6Neck(nn.Module):
    """Path aggregation over four levels: (c3, c4, c5, c6) -> (p3, p4, p5, p6)."""

    def __init__(self, channels: Sequence[int], depth: int) -> None:
        super().__init__()
        w3, w4, w5, w6 = channels
        self.reduce6 = Conv(w6, w5)
        self.up5 = UpMerge(w5, w5, w5, depth)
        self.reduce5 = Conv(w5, w4)
        self.up4 = UpMerge(w4, w4, w4, depth)
        self.reduce4 = Conv(w4, w3)
        self.up3 = UpMerge(w3, w3, w3, depth)
        self.down4 = DownMerge(w3, w3, w4, depth)
        self.down5 = DownMerge(w4, w4, w5, depth)
        self.down6 = DownMerge(w5, w5, w6, depth)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        c3, c4, c5, c6 = maps
        t6 = self.reduce6(c6)
        t5 = self.reduce5(self.up5(t6, c5))
        t4 = self.reduce4(self.up4(t5, c4))
        p3 = self.up3(t4, c3)
        p4 = self.down4(p3, t4)
        p5 = self.down5(p4, t5)
        p6 = self.down6(p5, t6)
        return p3, p4, p5, p6


@register(FAMILY, VARIANTS)
def yolov5(variant: str, class_names: Sequence[str]) -> Detector:
    """Build a variant of YOLOv5."""
    config = VARIANTS[variant]
    channels = config.channels(256, 512, 768, 1024) if config.levels == 4 else config.channels(256, 512, 1024)
    head = AnchorHead(channels, len(class_names), config.anchors, strides=(8, 16, 32, 64)[: config.levels])
    backbone, neck = _body(config, channels)
    size = (1280, 1280) if config.levels == 4 else (640, 640)
    return Detector(FAMILY.name, variant, backbone, neck, head, InputSpec(size, shapes="buckets"), class_names)


def _body(config: YOLOv5Config, channels: Sequence[int]) -> tuple[nn.Module, nn.Module]:
    depth = config.repeats(3)
    if config.levels == 4:
        return YOLOv5P6Backbone(config), YOLOv5P6Neck(channels, depth)
    if config.focus:
        return CSPDarknet(config.channels(64, 128, 256, 512, 1024), depth), PAN(channels, depth)
    return YOLOv5Backbone(config), PAN(channels, depth)
