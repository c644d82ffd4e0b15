"""YOLOX: state dicts of the original program (`backbone.backbone...`) and of MMDetection (`bbox_head.multi_level...`).

Both hold the same networks under other names. Neither keeps anchors, strides or class names.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.families.yolox import DARKNET53, VARIANTS, DepthwiseConv
from model_zoo.weights.importers.checkpoint import Recognition
from model_zoo.weights.importers.renaming import State, Table, by_level, load, rename, require

CLASSES = "head.cls_preds.0.bias"
MMDET_CLASSES = "bbox_head.multi_level_conv_cls.0.bias"
FPN = "backbone.out1_cbl.conv.weight"  # of the variant with YOLOv3's backbone alone
STEM = "backbone.stem.conv.conv.weight"  # our name

HEAD = by_level(
    *("head", "head.levels"),
    {"stems": "stem", "cls_convs": "class_branch", "reg_convs": "box_branch"}
    | {"cls_preds": "classes", "reg_preds": "box", "obj_preds": "objectness"},
)
CSP: Table = (
    (r"^backbone\.backbone\.stem\.", "backbone.stem."),
    (r"^backbone\.backbone\.dark(\d)\.0\.", r"backbone.down\1."),
    (r"^backbone\.backbone\.dark([234])\.1\.", r"backbone.c\1."),
    (r"^backbone\.backbone\.dark5\.1\.", "backbone.spp."),
    (r"^backbone\.backbone\.dark5\.2\.", "backbone.c5."),
    (r"^backbone\.lateral_conv0\.", "neck.reduce5."),
    (r"^backbone\.C3_p4\.", "neck.up4.merge."),
    (r"^backbone\.reduce_conv1\.", "neck.reduce4."),
    (r"^backbone\.C3_p3\.", "neck.up3.merge."),
    (r"^backbone\.bu_conv2\.", "neck.down4.down."),
    (r"^backbone\.C3_n3\.", "neck.down4.merge."),
    (r"^backbone\.bu_conv1\.", "neck.down5.down."),
    (r"^backbone\.C3_n4\.", "neck.down5.merge."),
    (r"\.m\.(\d+)\.", r".blocks.\1."),
    (r"\.dconv\.", ".depthwise."),
    (r"\.pconv\.", ".pointwise."),
    *HEAD,
)
FPN53: Table = (  # a stage is one list: the strided convolution, the residuals, in the last one the set of the neck
    (r"^backbone\.backbone\.stem\.0\.", "backbone.stem."),
    (r"^backbone\.backbone\.stem\.1\.", "backbone.c1.0."),
    (r"^backbone\.backbone\.stem\.2\.", "backbone.c1.1."),
    *((rf"^backbone\.backbone\.dark5\.{5 + i}\.", f"neck.set5.{i}.") for i in range(5)),
    (r"^backbone\.backbone\.dark(\d)\.", r"backbone.c\1."),
    (r"\.layer1\.", ".reduce."),
    (r"\.layer2\.", ".expand."),
    (r"^backbone\.out1_cbl\.", "neck.reduce5."),
    (r"^backbone\.out1\.", "neck.set4."),
    (r"^backbone\.out2_cbl\.", "neck.reduce4."),
    (r"^backbone\.out2\.", "neck.set3."),
    *HEAD,
)
MMDET_HEAD = {"multi_level_cls_convs": "class_branch", "multi_level_reg_convs": "box_branch"} | {
    f"multi_level_conv_{original}": ours
    for original, ours in (("cls", "classes"), ("reg", "box"), ("obj", "objectness"))
}
MMDET: Table = (  # levels of the neck count from the coarsest on the way down, from the finest on the way up
    *((rf"^backbone\.stage{i}\.0\.", f"backbone.down{i + 1}.") for i in range(1, 5)),
    *((rf"^backbone\.stage{i}\.1\.", f"backbone.c{i + 1}.") for i in range(1, 4)),
    (r"^backbone\.stage4\.1\.", "backbone.spp."),
    (r"^backbone\.stage4\.2\.", "backbone.c5."),
    *((rf"^neck\.reduce_layers\.{i}\.", f"neck.reduce{5 - i}.") for i in (0, 1)),
    *((rf"^neck\.top_down_blocks\.{i}\.", f"neck.up{4 - i}.merge.") for i in (0, 1)),
    *((rf"^neck\.downsamples\.{i}\.", f"neck.down{4 + i}.down.") for i in (0, 1)),
    *((rf"^neck\.bottom_up_blocks\.{i}\.", f"neck.down{4 + i}.merge.") for i in (0, 1)),
    (r"\.main_conv\.", ".conv1."),
    (r"\.short_conv\.", ".conv2."),
    (r"\.final_conv\.", ".conv3."),
    (r"\.depthwise_conv\.", ".depthwise."),
    (r"\.pointwise_conv\.", ".pointwise."),
    (r"^neck\.out_convs\.(\d)\.", r"head.levels.\1.stem."),
    *by_level("bbox_head", "head.levels", MMDET_HEAD),
)


def from_state_dict(variant: str, state: State) -> Detector:
    """Build `variant` with the class count of the state, and MMDetection's way of resizing if it wrote the state."""
    mmdet = MMDET_CLASSES in state
    detector = registry.build(variant, num_classes=require(state, MMDET_CLASSES if mmdet else CLASSES, variant).size)
    if mmdet:
        letterbox = replace(detector.input_spec.letterbox, rounding="round")
        detector.input_spec = replace(detector.input_spec, letterbox=letterbox)
        return load(detector, state, MMDET)
    return load(detector, state, FPN53 if variant == DARKNET53 else CSP)


def recognize(state: State) -> Recognition | None:
    """Tell the variant by the stem's width, the bottlenecks of the first stage and the kind of convolution."""
    mmdet = MMDET_CLASSES in state
    if not mmdet and CLASSES not in state:
        return None
    if FPN in state:
        return Recognition(DARKNET53, "a decoupled head on Darknet-53 and its top-down path")
    renamed = rename(state, MMDET if mmdet else CSP)
    if STEM not in renamed:
        return None
    width, depthwise = np.atleast_1d(renamed[STEM]).shape[0], any(".depthwise." in key for key in renamed)
    blocks = sum(re.fullmatch(r"backbone\.c2\.blocks\.\d+\.conv1\.conv\.weight", key) is not None for key in renamed)
    told = f"Focus stem of {width} channels, {blocks} bottlenecks in c2, {'depthwise' if depthwise else 'full'} 3x3"
    for variant, config in VARIANTS.items():
        if (width, blocks, depthwise) == (*config.channels(64), config.repeats, config.spatial is DepthwiseConv):
            return Recognition(variant, f"{told}; {'MMDetection' if mmdet else 'the original'}'s keys")
    raise LineageError(f"expected a YOLOX of a published size; got one with {told}")
