"""YOLOv6 0.1.0 and 2.0 (2022, arXiv:2209.02976). 3.0 is in `yolov6_v3.py`.

      images ── stem /2 ── down2 ── c2 /4
                                    │
                                  down3 ── c3 /8 ─────────────────────────────► up3 ──────── p3 ─► predict
                                    │                                            ▲ reduce4    │ down
                                  down4 ── c4 /16 ─────────────────► up4 ────────┴──────────► p4 ─► predict
                                    │                                 ▲ reduce5               │ down
                                  down5 ── c5 /32 ── pyramid ─────────┴─────────────────────► p5 ─► predict

Every c, up and down of the neck is a stage: RepBlock in N, T and S, CSPStackRep in M and L. The backbone is
EfficientRep (CSPBep in M and L), the neck Rep-PAN. `up` upsamples by a transposed convolution. Activations are ReLU,
but SiLU in L and in every head.

2.0 is the paper's. The head of 0.1.0 (`-v1`) predicts objectness and boxes as YOLOX does. L trains with plain
convolutions, `yolov6l-relu` with RepVGG blocks.

Where we differ: the initial weights of the head are small random numbers where the original's are zero. Untrained
predictions are then not all equal. `yolov6t` has the published size (depth 0.25, width 0.5; 15.0 M). The configuration
file of that name in 2.0 has another size (0.33, 0.375; 9.7 M).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from model_zoo.blocks.conv import Conv
from model_zoo.blocks.rep_block import CSPStackRep, RepBlock, RepVGGBlock, SimConv, SpatialBlock
from model_zoo.blocks.scaling import scaled_depth, scaled_width
from model_zoo.blocks.spp import SPPF
from model_zoo.detector import Detector, Head, InputSpec
from model_zoo.heads.decoupled import DecoupledHead
from model_zoo.heads.efficient import BINS, EfficientHead
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolov6",
    year=2022,
    summary=(
        "YOLOv6 (2022, arXiv:2209.02976): blocks that train with parallel branches and deploy as single convolutions."
    ),
    changes=(
        "Changes since YOLOv5: structural re-parameterization (RepVGG). One prediction per cell without anchors, by a "
        "decoupled head with one 3x3 convolution per branch. A box is four distances from the center of the cell; in "
        "M and L these are distributions."
    ),
)
Stage = Callable[[int, int, int], nn.Module]  # (in_channels, out_channels, depth)
Pyramid = Callable[[int, int], nn.Module]  # (in_channels, out_channels)
SimSPPF: Pyramid = partial(SPPF, conv=SimConv)


@dataclass(frozen=True)
class Blocks:
    """Blocks of a network."""

    spatial: SpatialBlock = RepVGGBlock
    """Builds 3x3 convolutions."""
    stage: Stage = RepBlock
    """Builds stages."""
    pyramid: Pyramid = SimSPPF
    """Builds pyramid pooling."""


def plain(in_channels: int, out_channels: int, stride: int = 1, *, bias: bool = False) -> nn.Module:
    """Return the plain convolution that L uses instead of RepVGG blocks."""
    return Conv(in_channels, out_channels, 3, stride, bias=bias)


def large(block: SpatialBlock) -> Blocks:
    """Return the blocks of L with `block` as 3x3 convolution."""
    return Blocks(block, partial(CSPStackRep, share=1 / 2, block=block, conv=Conv), SPPF)


SMALL = Blocks()
MEDIUM = Blocks(stage=partial(CSPStackRep, share=2 / 3))
LARGE = large(partial(plain, bias=True))  # in 2.0 these convolutions have a bias before the normalization
LARGE_RELU = Blocks(stage=partial(CSPStackRep, share=1 / 2))


@dataclass(frozen=True)
class YOLOv6Config:
    """Scale, blocks and head of a variant."""

    depth: float
    """Factor on the repeats of the table."""
    width: float
    """Factor on the channels of the table."""
    blocks: Blocks = SMALL
    """Blocks of the network."""
    bins: int = 1
    """Bins of a distance: 1, or 17 for distributions."""
    objectness: bool = False
    """Whether to use the head of 0.1.0."""

    def channels(self, *table: int) -> list[int]:
        """Return channels of the table, scaled."""
        return [scaled_width(c, self.width) for c in table]

    def stage(self, in_channels: int, out_channels: int, repeats: int) -> nn.Module:
        """Return a stage, with the repeats of the table scaled."""
        return self.blocks.stage(in_channels, out_channels, scaled_depth(repeats, self.depth))


SCALES = {"n": (0.33, 0.25), "t": (0.25, 0.5), "s": (0.33, 0.5), "m": (0.6, 0.75), "l": (1.0, 1.0)}
VARIANTS = {
    **{f"yolov6{size}": YOLOv6Config(*SCALES[size]) for size in "nts"},
    "yolov6m": YOLOv6Config(*SCALES["m"], MEDIUM, BINS),
    "yolov6l": YOLOv6Config(*SCALES["l"], LARGE, BINS),
    "yolov6l-relu": YOLOv6Config(*SCALES["l"], LARGE_RELU, BINS),
    **{f"yolov6{size}-v1": YOLOv6Config(*SCALES[size], objectness=True) for size in "nts"},
    "yolov6-test": YOLOv6Config(0.1, 1 / 32),
}


class EfficientRep(nn.Module):
    """Stem and stages. Returns c2, c3, c4 and the pyramid over c5."""

    def __init__(self, config: YOLOv6Config) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = config.channels(64, 128, 256, 512, 1024)
        self.stem = config.blocks.spatial(3, w1, 2)
        self.down2 = config.blocks.spatial(w1, w2, 2)
        self.c2 = config.stage(w2, w2, 6)
        self.down3 = config.blocks.spatial(w2, w3, 2)
        self.c3 = config.stage(w3, w3, 12)
        self.down4 = config.blocks.spatial(w3, w4, 2)
        self.c4 = config.stage(w4, w4, 18)
        self.down5 = config.blocks.spatial(w4, w5, 2)
        self.c5 = config.stage(w5, w5, 6)
        self.pyramid = config.blocks.pyramid(w5, w5)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        c2 = self.c2(self.down2(self.stem(x)))
        c3 = self.c3(self.down3(c2))
        c4 = self.c4(self.down4(c3))
        c5 = self.c5(self.down5(c4))
        return c2, c3, c4, self.pyramid(c5)


Up = Callable[[int, int, int, YOLOv6Config], nn.Module]  # (deep, same, finer channels, config)


class UpMerge(nn.Module):
    """Upsample a deep map, join it with the backbone's map of that size, and merge both. The finer map is not used."""

    def __init__(self, deep: int, same: int, _finer: int, config: YOLOv6Config) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(deep, deep, 2, 2)
        self.merge = config.stage(deep + same, deep, 12)

    def forward(self, deep: Tensor, same: Tensor, _finer: Tensor) -> Tensor:
        return self.merge(torch.cat([self.upsample(deep), same], dim=1))


class DownMerge(nn.Module):
    """Downsample a shallow map, join it with the top-down map of that size, and merge both."""

    def __init__(self, shallow: int, skip: int, out_channels: int, config: YOLOv6Config) -> None:
        super().__init__()
        self.down = SimConv(shallow, shallow, 3, 2)
        self.merge = config.stage(shallow + skip, out_channels, 12)

    def forward(self, shallow: Tensor, skip: Tensor) -> Tensor:
        return self.merge(torch.cat([self.down(shallow), skip], dim=1))


class RepPAN(nn.Module):
    """Top-down and bottom-up path: (c2, c3, c4, c5) -> (p3, p4, p5). `up` builds the top-down fusions."""

    def __init__(self, config: YOLOv6Config, up: Up = UpMerge) -> None:
        super().__init__()
        w2, w3, w4, w5 = config.channels(128, 256, 512, 1024)
        p3, p4, p5 = config.channels(128, 256, 512)
        self.reduce5 = SimConv(w5, p4)
        self.up4 = up(p4, w4, w3, config)
        self.reduce4 = SimConv(p4, p3)
        self.up3 = up(p3, w3, w2, config)
        self.down4 = DownMerge(p3, p3, p4, config)
        self.down5 = DownMerge(p4, p4, p5, config)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        c2, c3, c4, c5 = maps
        t5 = self.reduce5(c5)
        t4 = self.reduce4(self.up4(t5, c4, c3))
        p3 = self.up3(t4, c3, c2)
        p4 = self.down4(p3, t4)
        return p3, p4, self.down5(p4, t5)


@register(FAMILY, VARIANTS)
def yolov6(variant: str, class_names: Sequence[str], bins: int = 0) -> Detector:
    """Build a variant of YOLOv6 0.1.0 or 2.0. `bins` overrides the bins of a distance if it is not 0."""
    config = VARIANTS[variant]
    config = replace(config, bins=bins or config.bins)
    backbone, neck, head = EfficientRep(config), RepPAN(config), _head(config, len(class_names))
    return Detector(FAMILY.name, variant, backbone, neck, head, InputSpec(), class_names)


def _head(config: YOLOv6Config, num_classes: int) -> Head:
    channels = config.channels(128, 256, 512)
    if config.objectness:
        return DecoupledHead(channels, channels, num_classes, depth=1)
    return EfficientHead(channels, num_classes, (8, 16, 32), config.bins)
