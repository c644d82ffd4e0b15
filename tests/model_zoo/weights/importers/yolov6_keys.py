"""Weights of YOLOv6 under the keys of its original program."""

from __future__ import annotations

import re

import torch

from model_zoo.detector import Detector

REP = ((r"\.dense\.", ".rbr_dense."), (r"\.pointwise\.", ".rbr_1x1."), (r"\.identity\.", ".rbr_identity."))
STAGES = (
    *((rf"^((?:backbone\.c\d|neck\.\w+\.merge)\.)blocks\.{i}\.", rf"\1m.block.{i - 1}.") for i in range(1, 9)),
    (r"^((?:backbone\.c\d|neck\.\w+\.merge)\.)blocks\.0\.", r"\1m.conv1."),
    *((rf"^((?:backbone\.c\d|neck\.\w+\.merge)\.){i}\.", rf"\1block.{i - 1}.") for i in range(1, 6)),
    (r"^((?:backbone\.c\d|neck\.\w+\.merge)\.)0\.", r"\1conv1."),
    (
        r"^((?:backbone\.c\d|neck\.\w+\.merge|backbone\.pyramid|neck\.\w+\.fusion)\.)conv(\d)\.(conv|bn)\.",
        r"\1cv\2.\3.",
    ),
    (r"^backbone\.down(\d)\.", r"backbone.ERBlock_\1.0."),
    (r"^backbone\.c(\d)\.", r"backbone.ERBlock_\1.1."),
)
NECK = {"reduce5": "reduce_layer0", "up4.merge": "Rep_p4", "reduce4": "reduce_layer1", "up3.merge": "Rep_p3"} | {
    **{"up4.upsample": "upsample0.upsample_transpose", "up3.upsample": "upsample1.upsample_transpose"},
    **{"up4.fusion.upsample": "Bifusion0.upsample.upsample_transpose", "up4.fusion.down": "Bifusion0.downsample"},
    **{"up3.fusion.upsample": "Bifusion1.upsample.upsample_transpose", "up3.fusion.down": "Bifusion1.downsample"},
    **{"up4.fusion": "Bifusion0", "up3.fusion": "Bifusion1", "down4.down": "downsample2", "down4.merge": "Rep_n3"},
    **{"down5.down": "downsample1", "down5.merge": "Rep_n4"},
}
NECK6 = {"reduce6": "reduce_layer0", "reduce5": "reduce_layer1", "reduce4": "reduce_layer2"} | {
    **{f"up{5 - i}.fusion.upsample": f"Bifusion{i}.upsample.upsample_transpose" for i in range(3)},
    **{f"up{5 - i}.fusion.down": f"Bifusion{i}.downsample" for i in range(3)},
    **{f"up{5 - i}.fusion": f"Bifusion{i}" for i in range(3)},
    **{f"up{i}.merge": f"Rep_p{i}" for i in (3, 4, 5)},
    **{f"down{i}.merge": f"Rep_n{i}" for i in (4, 5, 6)},
    **{"down4.down": "downsample2", "down5.down": "downsample1", "down6.down": "downsample0"},
}
HEAD = (
    (r"^head\.levels\.(\d)\.stem\.", r"detect.stems.\1."),
    (r"^head\.levels\.(\d)\.class_branch\.(?:0\.)?", r"detect.cls_convs.\1."),
    (r"^head\.levels\.(\d)\.box_branch\.(?:0\.)?", r"detect.reg_convs.\1."),
    (r"^head\.(?:levels|predict)\.(\d)\.classes\.", r"detect.cls_preds.\1."),
    (r"^head\.(?:levels|predict)\.(\d)\.box\.", r"detect.reg_preds.\1."),
    (r"^head\.levels\.(\d)\.objectness\.", r"detect.obj_preds.\1."),
)


def original_state(detector: Detector) -> dict[str, torch.Tensor]:
    """Return weights under the original keys."""
    v3, large = "-v3" in detector.variant, detector.variant in ("yolov6l", "yolov6l-v3")
    p6, aided = "n6" in detector.variant, any("added.0.classes" in key for key in detector.state_dict())
    pyramid = "cspsppf." if re.search(r"6[ns]6?-v3", detector.variant) else "sppf." if v3 else ""
    added = ((r"^head\.added\.(\d)\.classes\.", r"detect.cls_preds_ab.\1."),)
    added += ((r"^head\.added\.(\d)\.box\.", rf"detect.reg_preds_{'ab' if aided else 'dist'}.\1."),)
    neck = tuple((rf"^neck\.{native}\.", f"neck.{original}.") for native, original in (NECK6 if p6 else NECK).items())
    last = ((r"^backbone\.pyramid\.", rf"backbone.ERBlock_{6 if p6 else 5}.2.{pyramid}"),)
    state = {}
    for key, value in detector.state_dict().items():
        name = key
        for pattern, replacement in (*REP, *STAGES, *last, *neck, *HEAD, *added):
            name = re.sub(pattern, replacement, name)
        wrapped = large and re.search(r"^backbone\.(stem|ERBlock_\d\.0)\.|\.conv[12]\.(conv|bn)\.", name)
        if wrapped or (v3 and ".rbr_" not in name):
            name = re.sub(r"\.(conv|bn)\.(\w+)$", r".block.\1.\2", name)
        state[name] = value
    if "head.bins" in state:
        state["detect.proj"], kernel = state.pop("head.bins")
        state["detect.proj_conv.weight"] = kernel.view(1, -1, 1, 1)
    return state
