"""YOLOv2 (2016, arXiv:1612.08242).

      images ── c0 ── c1 /2 ── c2 /4 ── c3 /8 ── c4 /16 ───── passthrough ── reorg ──┐
                                                  │                                  cat ── merge ─► predict
                                                 c5 /32 ── conv6 ── conv7 ───────────┘

Pools separate the stages; activations are leaky (0.1). Every cell of the single map has five anchors.

The paper and the official weights differ; this is the network of the weights. The passthrough is reduced to 64 channels
before `reorg`, and `reorg` has Darknet's order. `-tiny` has neither, but a small backbone and one more convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_zoo.backbones.darknet import Darknet19, DarknetTiny
from model_zoo.blocks.darknet import Reorg, darknet_conv
from model_zoo.class_names import VOC_NAMES
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import Detector, InputSpec
from model_zoo.heads.darknet import RegionHead
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolov2",
    year=2016,
    summary=(
        "YOLOv2 (2016, arXiv:1612.08242): batch normalization, Darknet-19, anchors, and a passthrough from a finer map."
    ),
    changes=(
        "Changes since YOLOv1: convolutions only, so any size in steps of 32. Batch normalization instead of dropout. "
        'Anchors ("dimension clusters"), each with its own softmax over the classes. Centers bound to their cell. '
        "Darknet-19, pre-trained at full resolution. Multi-scale training."
    ),
)
STRIDE = 32
Cells = tuple[tuple[float, float], ...]  # (width, height) of anchors in cells of the map, as in the paper

COCO_CELLS: Cells = (
    *((0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434)),
    *((7.88282, 3.52778), (9.77052, 9.16828)),
)
VOC_CELLS: Cells = (
    *((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892)),
    *((9.47112, 4.84053), (11.2364, 10.0071)),
)
TINY_VOC_CELLS: Cells = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))


@dataclass(frozen=True)
class YOLOv2Config:
    """Channels and anchors of a variant on Darknet-19."""

    width: int = 32
    """Channels of the first convolution."""
    squeeze: int = 64
    """Channels of the passthrough."""
    cells: Cells = COCO_CELLS
    """Anchors in cells."""
    size: Size = (416, 416)
    """Input size."""


@dataclass(frozen=True)
class TinyConfig:
    """Channels and anchors of a tiny variant."""

    last: int
    """Channels of the last convolution."""
    cells: Cells
    """Anchors in cells."""


VARIANTS = {
    "yolov2": YOLOv2Config(size=(608, 608)),
    "yolov2-voc": YOLOv2Config(cells=VOC_CELLS),
    "yolov2-test": YOLOv2Config(width=1, squeeze=4),
}
TINY_VARIANTS = {
    "yolov2-tiny": TinyConfig(512, COCO_CELLS),
    "yolov2-tiny-voc": TinyConfig(1024, TINY_VOC_CELLS),
}


class YOLOv2Neck(nn.Module):
    """Join the finer map with the coarser one: (c4, c5) -> one map of c5's size and channels."""

    def __init__(self, w4: int, w5: int, squeeze: int) -> None:
        super().__init__()
        self.conv6 = darknet_conv(w5, w5, 3)
        self.conv7 = darknet_conv(w5, w5, 3)
        self.passthrough = nn.Sequential(darknet_conv(w4, squeeze), Reorg())
        self.merge = darknet_conv(4 * squeeze + w5, w5, 3)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        c4, c5 = maps
        return (self.merge(torch.cat([self.passthrough(c4), self.conv7(self.conv6(c5))], dim=1)),)


class TinyNeck(nn.Module):
    """One convolution on the coarser map: (c4, c5) -> one map of c5's size."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.conv6 = darknet_conv(1024, out_channels, 3)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        return (self.conv6(maps[-1]),)


@register(FAMILY, ("yolov2-voc",), class_names=VOC_NAMES)
@register(FAMILY, ("yolov2", "yolov2-test"))
def yolov2(variant: str, class_names: Sequence[str]) -> Detector:
    """Build a variant of YOLOv2 on Darknet-19."""
    config = VARIANTS[variant]
    w4, w5 = 16 * config.width, 32 * config.width
    neck, head = YOLOv2Neck(w4, w5, config.squeeze), _head(w5, class_names, config.cells)
    return _detector(variant, Darknet19(config.width), neck, head, config.size, class_names)


@register(FAMILY, ("yolov2-tiny-voc",), class_names=VOC_NAMES)
@register(FAMILY, ("yolov2-tiny",))
def yolov2_tiny(variant: str, class_names: Sequence[str]) -> Detector:
    """Build a variant of tiny YOLOv2."""
    config = TINY_VARIANTS[variant]
    head = _head(config.last, class_names, config.cells)
    return _detector(variant, DarknetTiny(), TinyNeck(config.last), head, (416, 416), class_names)


def _head(channels: int, class_names: Sequence[str], cells: Cells) -> RegionHead:
    anchors = tuple((width * STRIDE, height * STRIDE) for width, height in cells)
    return RegionHead((channels,), len(class_names), (anchors,), strides=(STRIDE,))


def _detector(
    variant: str, backbone: nn.Module, neck: nn.Module, head: RegionHead, size: Size, class_names: Sequence[str]
) -> Detector:
    spec = InputSpec(size, letterbox=LetterboxPolicy(align="stretch"))
    return Detector(FAMILY.name, variant, backbone, neck, head, spec, class_names)
