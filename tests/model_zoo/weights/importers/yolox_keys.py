"""Weights of YOLOX under the keys of its original program, and of MMDetection."""

from __future__ import annotations

import re

import numpy as np

from model_zoo.detector import Detector

# Modules of the original program and of this project.
MODULES = {
    **{"backbone.backbone.stem": "backbone.stem", "backbone.backbone.dark5.1": "backbone.spp"},
    **{f"backbone.backbone.dark{i}.0": f"backbone.down{i}" for i in (2, 3, 4, 5)},
    **{f"backbone.backbone.dark{i}.{1 + (i == 5)}": f"backbone.c{i}" for i in (2, 3, 4, 5)},
    **{"backbone.lateral_conv0": "neck.reduce5", "backbone.reduce_conv1": "neck.reduce4"},
    **{"backbone.C3_p4": "neck.up4.merge", "backbone.C3_p3": "neck.up3.merge"},
    **{"backbone.C3_n3": "neck.down4.merge", "backbone.C3_n4": "neck.down5.merge"},
    **{"backbone.bu_conv2": "neck.down4.down", "backbone.bu_conv1": "neck.down5.down"},
    **{f"head.stems.{i}": f"head.levels.{i}.stem" for i in range(3)},
    **{f"head.cls_convs.{i}": f"head.levels.{i}.class_branch" for i in range(3)},
    **{f"head.reg_convs.{i}": f"head.levels.{i}.box_branch" for i in range(3)},
    **{f"head.cls_preds.{i}": f"head.levels.{i}.classes" for i in range(3)},
    **{f"head.reg_preds.{i}": f"head.levels.{i}.box" for i in range(3)},
    **{f"head.obj_preds.{i}": f"head.levels.{i}.objectness" for i in range(3)},
}
# Modules of the original program and of MMDetection.
MMDET_MODULES = {
    "backbone.backbone.stem.": "backbone.stem.",
    **{f"backbone.backbone.dark{i}.": f"backbone.stage{i - 1}." for i in (2, 3, 4, 5)},
    **{"backbone.lateral_conv0.": "neck.reduce_layers.0.", "backbone.reduce_conv1.": "neck.reduce_layers.1."},
    **{"backbone.C3_p4.": "neck.top_down_blocks.0.", "backbone.C3_p3.": "neck.top_down_blocks.1."},
    **{"backbone.bu_conv2.": "neck.downsamples.0.", "backbone.bu_conv1.": "neck.downsamples.1."},
    **{"backbone.C3_n3.": "neck.bottom_up_blocks.0.", "backbone.C3_n4.": "neck.bottom_up_blocks.1."},
    "head.stems.": "neck.out_convs.",
    **{f"head.{kind}_convs.": f"bbox_head.multi_level_{kind}_convs." for kind in ("cls", "reg")},
    **{f"head.{kind}_preds.": f"bbox_head.multi_level_conv_{kind}." for kind in ("cls", "reg", "obj")},
}
CSP_BLOCK = r"(stage[123]\.1|stage4\.2|top_down_blocks\.\d|bottom_up_blocks\.\d)"
Arrays = dict[str, np.ndarray]


def original_state(detector: Detector) -> Arrays:
    """Return weights under the original keys."""
    return {original_key(key): value.numpy() for key, value in detector.state_dict().items()}


def original_key(key: str) -> str:
    original, native = next(pair for pair in MODULES.items() if key.startswith(f"{pair[1]}."))
    inner = key.removeprefix(native).replace(".blocks.", ".m.")
    return original + inner.replace(".depthwise.", ".dconv.").replace(".pointwise.", ".pconv.")


def mmdet_state(state: Arrays) -> Arrays:
    """Rename original keys to those of MMDetection."""
    return {mmdet_key(key): value for key, value in state.items()}


def mmdet_key(key: str) -> str:
    original, mmdet = next(pair for pair in MMDET_MODULES.items() if key.startswith(pair[0]))
    key = (mmdet + key.removeprefix(original)).replace(".m.", ".blocks.")
    for original_name, mmdet_name in (("conv1", "main_conv"), ("conv2", "short_conv"), ("conv3", "final_conv")):
        key = re.sub(rf"\.{CSP_BLOCK}\.{original_name}\.", rf".\1.{mmdet_name}.", key)
    return key.replace(".dconv.", ".depthwise_conv.").replace(".pconv.", ".pointwise_conv.")
