"""Import YOLOX state dicts of the original program and of MMDetection.

Their keys are `backbone.backbone...` and `bbox_head.multi_level...`. Both hold the same networks under different names.
Neither has anchors, strides or class names.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.families.yolox import DARKNET53, VARIANTS, DepthwiseConv
from model_zoo.weights.importers.identification import Identification
from model_zoo.weights.importers.renaming import RenameTable, by_level, load, rename, require
from model_zoo.weights.state_dict import StateDict

CLASSES_KEY = "head.cls_preds.0.bias"
MMDET_CLASSES_KEY = "bbox_head.multi_level_conv_cls.0.bias"
DARKNET53_KEY = "backbone.out1_cbl.conv.weight"
STEM_KEY = "backbone.stem.conv.conv.weight"  # after renaming

HEAD = by_level(
    *("head", "head.levels"),
    {"stems": "stem", "cls_convs": "class_branch", "reg_convs": "box_branch"}
    | {"cls_preds": "classes", "reg_preds": "box", "obj_preds": "objectness"},
)
CSP: RenameTable = (
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
# A stage is a list: strided convolution, residuals and, in the last stage, the neck's set of convolutions.
FPN53: RenameTable = (
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
    f"multi_level_conv_{original}": native
    for original, native in (("cls", "classes"), ("reg", "box"), ("obj", "objectness"))
}
MMDET: RenameTable = (  # neck levels are numbered from the coarsest top-down and from the finest bottom-up
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


def from_state_dict(variant: str, state: StateDict) -> Detector:
    """Build `variant` with the class count of the state dict.

    State dicts of MMDetection get its rounding of resized images.
    """
    mmdet = MMDET_CLASSES_KEY in state
    detector = registry.build(
        variant, num_classes=require(state, MMDET_CLASSES_KEY if mmdet else CLASSES_KEY, variant).size
    )
    if mmdet:
        letterbox = replace(detector.input_spec.letterbox, rounding="round")
        detector.input_spec = replace(detector.input_spec, letterbox=letterbox)
        return load(detector, state, MMDET)
    return load(detector, state, FPN53 if variant == DARKNET53 else CSP)


def identify(state: StateDict) -> Identification | None:
    """Identify the variant by stem width, number of bottlenecks in c2 and kind of convolution."""
    mmdet = MMDET_CLASSES_KEY in state
    if not mmdet and CLASSES_KEY not in state:
        return None
    if DARKNET53_KEY in state:
        return Identification(DARKNET53, "decoupled head on Darknet-53 with a top-down path")
    renamed = rename(state, MMDET if mmdet else CSP)
    if STEM_KEY not in renamed:
        return None
    width, depthwise = np.atleast_1d(renamed[STEM_KEY]).shape[0], any(".depthwise." in key for key in renamed)
    blocks = sum(re.fullmatch(r"backbone\.c2\.blocks\.\d+\.conv1\.conv\.weight", key) is not None for key in renamed)
    description = (
        f"Focus stem of {width} channels, {blocks} bottlenecks in c2, {'depthwise' if depthwise else 'full'} 3x3"
    )
    for variant, config in VARIANTS.items():
        if (width, blocks, depthwise) == (*config.channels(64), config.repeats, config.spatial is DepthwiseConv):
            return Identification(
                variant, f"{description}, keys of {'MMDetection' if mmdet else 'the original program'}"
            )
    raise LineageError(f"expected a published size of YOLOX; got {description}")
