"""YOLOv4 (2020, arXiv:2004.10934).

      images ── stem ── c1 /2 ── c2 /4
                                  │
                                 c3 /8  ── lateral3 ── cat ── top3 ─────────────────────── out3 ─► predict
                                  │                     ▲ 2x, reduce4   │ down4
                                 c4 /16 ── lateral4 ── cat ── top4 ─── cat ── bottom4 ──── out4 ─► predict
                                  │                     ▲ 2x, reduce5            │ down5
                                 c5 /32 ───────────────── top5 (SPP) ────────── cat ── bottom5 ── out5 ─► predict

A stage sends half of its channels through residual blocks, and half around them. The groups top and bottom are five
alternating 1x1 and 3x3 convolutions; top5 has six, with pyramid pooling in the middle. Activations are Mish in the
backbone and leaky (0.1) in the neck.

`-tiny` has three stages that split by channels, and the neck of YOLOv3-tiny. Scaled-YOLOv4 (`yolov4-csp` and others) is
in `yolov4_csp.py`.

Where we differ: nothing in the network. In NMS, Darknet raises the distance to the power 0.6; our exponent is the
paper's, 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from model_zoo.backbones.csp_darknet53 import CSPDarknet53, CSPDarknet53Tiny, CSPStage
from model_zoo.blocks.darknet import conv_set, darknet_conv, pooled_conv_set
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import Detector, InputSpec
from model_zoo.heads.anchor import Anchors
from model_zoo.heads.darknet import YOLOv4Head
from model_zoo.necks.concat_pan import ConcatPAN
from model_zoo.necks.tiny import TinyNeck
from model_zoo.registry import Family, register

FAMILY = Family(
    "yolov4",
    year=2020,
    summary=(
        "YOLOv4 (2020, arXiv:2004.10934): YOLOv3's detector on CSPDarknet53, with spatial pyramid pooling and a PAN "
        "neck."
    ),
    changes=(
        "Changes since YOLOv3: cross-stage-partial stages with Mish. Spatial pyramid pooling by default. A bottom-up "
        "path (PANet with concatenation instead of addition). New anchors. Centers may lie slightly outside their "
        'cell (`scale_x_y`), so that the border of a cell needs no infinite logit. The "bag of freebies" concerns '
        "training only."
    ),
)
ANCHORS: Anchors = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)
TINY_ANCHORS: Anchors = (  # without (10, 14), which is in the original's list but used by no level
    ((23, 27), (37, 58), (81, 82)),
    ((81, 82), (135, 169), (344, 319)),
)
SCALE_XY = (1.2, 1.1, 1.05)  # of strides 8, 16, 32
TINY_SCALE_XY = (1.05, 1.05)
STRETCH = LetterboxPolicy(align="stretch")
mish_conv = partial(darknet_conv, activation=nn.Mish)


@dataclass(frozen=True)
class YOLOv4Config:
    """Channels, depth and input of a variant."""

    width: int = 32
    """Channels of the stem."""
    depths: tuple[int, ...] = (1, 2, 8, 8, 4)
    """Residuals per stage."""
    size: Size = (608, 608)
    """Input size."""


VARIANTS = {
    "yolov4": YOLOv4Config(),
    "yolov4-test": YOLOv4Config(width=1, depths=(1, 1, 1, 1, 1), size=(416, 416)),
}


def backbone(config: YOLOv4Config) -> CSPDarknet53:
    """Return CSPDarknet53. In its first stage, both paths have the channels of the stage."""
    widths = [config.width * 2**level for level in range(6)]
    c1 = CSPStage(widths[0], widths[1], config.depths[0], hidden=widths[1], inner=widths[0], conv=mish_conv)
    return CSPDarknet53(c1, widths, config.depths[1:], conv=mish_conv)


@register(FAMILY, VARIANTS)
def yolov4(variant: str, class_names: Sequence[str]) -> Detector:
    """Build YOLOv4."""
    config = VARIANTS[variant]
    channels = [config.width * 2**level for level in (3, 4, 5)]
    neck = ConcatPAN(channels, spp=pooled_conv_set, group=conv_set, conv=darknet_conv)
    head = YOLOv4Head(channels, len(class_names), ANCHORS, strides=(8, 16, 32), scale_xy=SCALE_XY)
    spec = InputSpec(config.size, letterbox=STRETCH)
    return Detector(FAMILY.name, variant, backbone(config), neck, head, spec, class_names)


@register(FAMILY, ("yolov4-tiny",))
def yolov4_tiny(variant: str, class_names: Sequence[str]) -> Detector:
    """Build tiny YOLOv4."""
    head = YOLOv4Head((256, 512), len(class_names), TINY_ANCHORS, strides=(16, 32), scale_xy=TINY_SCALE_XY)
    spec = InputSpec((416, 416), letterbox=STRETCH)
    return Detector(FAMILY.name, variant, CSPDarknet53Tiny(), TinyNeck(512), head, spec, class_names)
