"""Import YOLOv6 state dicts of 0.1.0, 2.0 and 3.0 / 4.0.

Their keys are `backbone.ERBlock_<level>...`, `neck.Rep_...` and `detect...`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo import registry
from model_zoo.blocks.rep_block import RepBlock, RepVGGBlock
from model_zoo.blocks.scaling import scaled_depth
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.families import yolov6, yolov6_v3
from model_zoo.families.yolov6 import YOLOv6Config
from model_zoo.families.yolov6_v3 import YOLOv6V3Config
from model_zoo.weights.importers.identification import Identification
from model_zoo.weights.importers.renaming import RenameTable, by_level, load, rename, require
from model_zoo.weights.state_dict import StateDict

CONFIGS = {**yolov6.VARIANTS, **yolov6_v3.VARIANTS}
CLASSES_KEY, BOX_KEY, DISTILLATION_BOX_KEY = (
    f"detect.{name}.0.bias" for name in ("cls_preds", "reg_preds", "reg_preds_dist")
)
ANCHOR_AIDED, DISTILLED = ", anchor-aided", ", for distillation"
BIN_KEYS = ("detect.proj", "detect.proj_conv.weight")  # two copies of 0..16
STAGE = r"^(backbone\.ERBlock_\d\.1|neck\.Rep_\w+)"
MAX_BLOCKS = 8  # after the first one, in c4 of L
BLOCKS: RenameTable = (
    (r"(\.block)+\.(conv|bn)\.", r".\2."),  # all convolutions of 3.0, and those of L in 2.0
    (r"\.(csp)?sppf\.", "."),
    *((rf"{STAGE}\.m\.block\.{i}\.", rf"\1.blocks.{i + 1}.") for i in range(MAX_BLOCKS)),
    (rf"{STAGE}\.m\.conv1\.", r"\1.blocks.0."),
    *((rf"{STAGE}\.block\.{i}\.", rf"\1.{i + 1}.") for i in range(MAX_BLOCKS)),
    (rf"{STAGE}\.conv1\.", r"\1.0."),
    (r"\.cv(\d)\.", r".conv\1."),
    (r"\.rbr_dense\.", ".dense."),
    (r"\.rbr_1x1\.", ".pointwise."),
    (r"\.rbr_identity\.", ".identity."),
    (r"\.upsample_transpose\.", "."),
    (r"\.downsample\.", ".down."),
)
BACKBONE: RenameTable = (
    (r"^backbone\.ERBlock_(\d)\.0\.", r"backbone.down\1."),
    (r"^backbone\.ERBlock_(\d)\.1\.", r"backbone.c\1."),
    (r"^backbone\.ERBlock_\d\.2\.", "backbone.pyramid."),
)
NECK = {
    **{"reduce_layer0": "reduce5", "upsample0": "up4.upsample", "Bifusion0": "up4.fusion", "Rep_p4": "up4.merge"},
    **{"reduce_layer1": "reduce4", "upsample1": "up3.upsample", "Bifusion1": "up3.fusion", "Rep_p3": "up3.merge"},
    **{"downsample2": "down4.down", "Rep_n3": "down4.merge", "downsample1": "down5.down", "Rep_n4": "down5.merge"},
}
NECK6 = {
    **{"reduce_layer0": "reduce6", "Bifusion0": "up5.fusion", "Rep_p5": "up5.merge"},
    **{"reduce_layer1": "reduce5", "Bifusion1": "up4.fusion", "Rep_p4": "up4.merge"},
    **{"reduce_layer2": "reduce4", "Bifusion2": "up3.fusion", "Rep_p3": "up3.merge"},
    **{"downsample2": "down4.down", "Rep_n4": "down4.merge", "downsample1": "down5.down", "Rep_n5": "down5.merge"},
    **{"downsample0": "down6.down", "Rep_n6": "down6.merge"},
}
HEAD: RenameTable = (
    *by_level("detect", "head.levels", {"stems": "stem", "cls_convs": "class_branch", "reg_convs": "box_branch"}),
    *by_level("detect", "head.predict", {"cls_preds": "classes", "reg_preds": "box"}),
    *by_level("detect", "head.added", {"cls_preds_ab": "classes", "reg_preds_ab": "box", "reg_preds_dist": "box"}),
)
HEAD_V1 = by_level(
    *("detect", "head.levels"),
    {"stems": "stem", "cls_convs": "class_branch.0", "reg_convs": "box_branch.0"}
    | {"cls_preds": "classes", "reg_preds": "box", "obj_preds": "objectness"},
)


@dataclass(frozen=True)
class Properties:
    """Properties that identify a variant."""

    release: str
    """Release of the original program, where 3.0 includes 4.0."""
    levels: int
    """Number of levels."""
    convolutions: str
    """Kind of 3x3 convolution."""
    width: int
    """Channels of the stem."""
    stages: str
    """Kind of stage in the backbone."""
    depth: int
    """Number of blocks in c4."""
    training_branch: str
    """Branch of the head that only training uses, empty if there is none."""

    def __str__(self) -> str:
        parts = f"{self.convolutions} stem of {self.width} channels, c4 of {self.depth} x {self.stages}"
        return f"release {self.release}, {parts}, {self.levels} levels{self.training_branch}"


def from_state_dict(variant: str, state: StateDict) -> Detector:
    """Build `variant` with the class count and the number of distance bins of the state dict."""
    config = CONFIGS[variant]
    bins = {"bins": require(state, BOX_KEY, variant).size // 4}
    if isinstance(config, YOLOv6V3Config) and config.taught_bins:
        bins["taught_bins"] = require(state, DISTILLATION_BOX_KEY, variant).size // 4
    options = {name: count for name, count in bins.items() if count != getattr(config, name)}
    detector = registry.build(variant, num_classes=require(state, CLASSES_KEY, variant).size, options=options)
    return load(detector, _with_bins(state), rename_table(state))


def identify(state: StateDict) -> Identification | None:
    """Identify the variant by neck and head, kind and number of blocks, and stem width."""
    if CLASSES_KEY not in state or not any(key.startswith("backbone.ERBlock_") for key in state):
        return None
    properties = _properties({key: value.shape for key, value in rename(state, rename_table(state)).items()})
    for variant, config in CONFIGS.items():
        if properties == _properties_of(config):
            return Identification(variant, str(properties))
    raise LineageError(f"expected a published size of YOLOv6; got {properties}")


def _properties(shapes: Mapping[str, tuple[int, ...]]) -> Properties:
    """Derive the properties from the shapes of a renamed state dict."""
    keys = " ".join(shapes)
    stem = next((key for key in shapes if re.fullmatch(r"backbone\.stem\.(dense\.)?conv\.weight", key)), None)
    if stem is None:
        raise LineageError("expected the training form of YOLOv6; its stem is missing")
    return Properties(
        release="3.0" if ".fusion." in keys else "0.1.0" if ".objectness." in keys else "2.0",
        levels=len(set(re.findall(r"head\.levels\.(\d)", keys))),
        convolutions="RepVGG" if ".dense." in stem else "plain",
        width=shapes[stem][0],
        stages="CSPStackRep" if "backbone.c4.blocks." in keys else "RepBlock",
        depth=len(set(re.findall(r"backbone\.c4\.(?:blocks\.)?(\d+)\.", keys))),
        training_branch=ANCHOR_AIDED if ".added.0.classes." in keys else DISTILLED if ".added.0.box." in keys else "",
    )


def _properties_of(config: YOLOv6Config) -> Properties:
    """Return the properties of a variant."""
    v3 = config if isinstance(config, YOLOv6V3Config) else None
    stack = config.blocks.stage is not RepBlock
    return Properties(
        release="3.0" if v3 else "0.1.0" if config.objectness else "2.0",
        levels=v3.levels if v3 else 3,
        convolutions="RepVGG" if config.blocks.spatial is RepVGGBlock else "plain",
        width=config.channels(64)[0],
        stages="CSPStackRep" if stack else "RepBlock",
        depth=scaled_depth(18, config.depth) // (2 if stack else 1),
        training_branch=ANCHOR_AIDED if v3 and v3.anchor_aided else DISTILLED if v3 and v3.taught_bins else "",
    )


def _with_bins(state: StateDict) -> dict[str, NDArray[np.generic]]:
    """Stack the two copies of the bins in 2.0 and later as `head.bins`."""
    others = {key: value for key, value in state.items() if key not in BIN_KEYS}
    copies = [state[key].reshape(-1) for key in BIN_KEYS if key in state]
    return others | ({"head.bins": np.stack(copies)} if len({copy.size for copy in copies}) == 1 else {})


def rename_table(state: StateDict) -> RenameTable:
    """Return the rename table for the release and number of levels of a state dict."""
    neck = NECK6 if any(key.startswith("neck.Bifusion2.") for key in state) else NECK
    renames = tuple((rf"^neck\.{original}\.", f"neck.{native}.") for original, native in neck.items())
    head = HEAD_V1 if any(key.startswith("detect.obj_preds.") for key in state) else HEAD
    return (*BLOCKS, *BACKBONE, *renames, *head)
