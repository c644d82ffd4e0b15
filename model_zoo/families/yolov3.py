"""YOLOv3 (2018, arXiv:1804.02767).

      images ── stem ── c1 /2 ── c2 /4
                                  │
                                 c3 /8  ────────────────────── cat ── set3 ── out3 ─► predict
                                  │                             ▲ 2x, reduce4
                                 c4 /16 ────────── cat ── set4 ─┴──── out4 ─► predict
                                  │                 ▲ 2x, reduce5
                                 c5 /32 ── set5 ────┴──── out5 ─► predict

A set is five alternating 1x1 and 3x3 convolutions; out is a 3x3 convolution. Activations are leaky (0.1).

`-spp` pools set5 over windows of 5, 9 and 13. `-tiny` has the small backbone of tiny YOLOv2 and two scales. `-mmdet` is
the same network with MMDetection's preprocessing and state-dict keys.

Where we differ: the letterbox border. Darknet fills it with 0.5, between two gray values; ours is 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_zoo.backbones.darknet import Darknet53, DarknetTiny
from model_zoo.blocks.darknet import conv_set, darknet_conv, pooled_conv_set
from model_zoo.class_names import VOC_NAMES
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import Detector, InputSpec
from model_zoo.heads.anchor import Anchors
from model_zoo.heads.darknet import YOLOHead
from model_zoo.necks.tiny import TinyNeck
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolov3",
    year=2018,
    summary=(
        "YOLOv3 (2018, arXiv:1804.02767): residual Darknet-53, predictions at three scales, independent class scores."
    ),
    changes=(
        "Changes since YOLOv2: a residual backbone with strided convolutions instead of pools. Predictions at three "
        "scales with three anchors each, in pixels of the input. Upsampling and concatenation instead of the "
        "passthrough. A sigmoid per class instead of a softmax."
    ),
)
ANCHORS: Anchors = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
TINY_ANCHORS: Anchors = (
    ((10, 14), (23, 27), (37, 58)),
    ((81, 82), (135, 169), (344, 319)),
)
DARKNET_LETTERBOX = LetterboxPolicy(align="center", rounding="floor", fill=128)
MMDET_LETTERBOX = LetterboxPolicy(align="top_left", rounding="round", fill=0)


@dataclass(frozen=True)
class YOLOv3Config:
    """Channels, depth and input of a variant."""

    width: int = 32
    """Channels of the stem."""
    repeats: tuple[int, ...] = (1, 2, 8, 8, 4)
    """Residuals per stage."""
    spp: bool = False
    """Whether set5 has pyramid pooling."""
    size: Size = (608, 608)
    """Input size."""
    letterbox: LetterboxPolicy = DARKNET_LETTERBOX
    """Preprocessing."""


VARIANTS = {
    "yolov3": YOLOv3Config(),
    "yolov3-spp": YOLOv3Config(spp=True),
    "yolov3-voc": YOLOv3Config(size=(416, 416)),
    "yolov3-mmdet": YOLOv3Config(letterbox=MMDET_LETTERBOX),
    "yolov3-test": YOLOv3Config(width=1, repeats=(1, 1, 1, 1, 1), spp=True, size=(416, 416)),
}


class YOLOv3Neck(nn.Module):
    """Top-down path: (c3, c4, c5) -> three maps of the same sizes and channels."""

    def __init__(self, channels: Sequence[int], spp: bool) -> None:
        super().__init__()
        w3, w4, w5 = channels
        self.set5 = pooled_conv_set(w5, w5 // 2) if spp else conv_set(w5, w5 // 2)
        self.out5 = darknet_conv(w5 // 2, w5, 3)
        self.reduce5 = darknet_conv(w5 // 2, w4 // 2)
        self.set4 = conv_set(w4 // 2 + w4, w4 // 2)
        self.out4 = darknet_conv(w4 // 2, w4, 3)
        self.reduce4 = darknet_conv(w4 // 2, w3 // 2)
        self.set3 = conv_set(w3 // 2 + w3, w3 // 2)
        self.out3 = darknet_conv(w3 // 2, w3, 3)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        c3, c4, c5 = maps
        t5 = self.set5(c5)
        t4 = self.set4(torch.cat([self.upsample(self.reduce5(t5)), c4], dim=1))
        t3 = self.set3(torch.cat([self.upsample(self.reduce4(t4)), c3], dim=1))
        return self.out3(t3), self.out4(t4), self.out5(t5)


@register(FAMILY, ("yolov3-voc",), class_names=VOC_NAMES)
@register(FAMILY, [name for name in VARIANTS if name != "yolov3-voc"])
def yolov3(variant: str, class_names: Sequence[str]) -> Detector:
    """Build a variant of YOLOv3 on Darknet-53."""
    config = VARIANTS[variant]
    channels = [config.width * 2**level for level in (3, 4, 5)]
    backbone, neck = Darknet53(config.width, config.repeats), YOLOv3Neck(channels, config.spp)
    head = YOLOHead(channels, len(class_names), ANCHORS, strides=(8, 16, 32))
    spec = InputSpec(config.size, letterbox=config.letterbox)
    return Detector(FAMILY.name, variant, backbone, neck, head, spec, class_names)


@register(FAMILY, ("yolov3-tiny",))
def yolov3_tiny(variant: str, class_names: Sequence[str]) -> Detector:
    """Build tiny YOLOv3."""
    head = YOLOHead((256, 512), len(class_names), TINY_ANCHORS, strides=(16, 32))
    spec = InputSpec((416, 416), letterbox=DARKNET_LETTERBOX)
    return Detector(FAMILY.name, variant, DarknetTiny(), TinyNeck(1024), head, spec, class_names)
