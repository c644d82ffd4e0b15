"""YOLOv6: state dicts of 0.1.0, 2.0 and 3.0 / 4.0, keys `backbone.ERBlock_<level>...`, `neck.Rep_...`, `detect...`."""

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
from model_zoo.weights.importers.checkpoint import Recognition
from model_zoo.weights.importers.renaming import State, Table, by_level, load, rename, require

CONFIGS = {**yolov6.VARIANTS, **yolov6_v3.VARIANTS}
CLASSES, BOX, TAUGHT_BOX = (f"detect.{name}.0.bias" for name in ("cls_preds", "reg_preds", "reg_preds_dist"))
AIDED, TAUGHT = ", aided by anchors", ", to be distilled"
CONSTANTS = ("detect.proj", "detect.proj_conv.weight")  # 0..16, twice
STAGE = r"^(backbone\.ERBlock_\d\.1|neck\.Rep_\w+)"
MAX_BLOCKS = 8  # after the first, in c4 of L
BLOCKS: Table = (
    (r"(\.block)+\.(conv|bn)\.", r".\2."),  # 3.0 wraps convolutions, 2.0 those of L
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
BACKBONE: Table = (
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
HEAD: Table = (
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
class Facts:
    """What tells a variant; depth: blocks in c4; added: what the head has for training alone."""

    release: str
    levels: int
    convolutions: str
    width: int
    stages: str
    depth: int
    added: str

    def __str__(self) -> str:
        parts = f"{self.convolutions} stem of {self.width} channels, c4 a {self.stages} of {self.depth}"
        return f"release {self.release}, {parts}, {self.levels} levels{self.added}"


def from_state_dict(variant: str, state: State) -> Detector:
    """Build `variant` with the class count of the state, and with distances as it has them, distributions or not."""
    config = CONFIGS[variant]
    found = {"bins": require(state, BOX, variant).size // 4}
    if isinstance(config, YOLOv6V3Config) and config.taught_bins:
        found["taught_bins"] = require(state, TAUGHT_BOX, variant).size // 4
    other = {name: bins for name, bins in found.items() if bins != getattr(config, name)}
    detector = registry.build(variant, num_classes=require(state, CLASSES, variant).size, options=other)
    return load(detector, _with_bins(state), table(state))


def recognize(state: State) -> Recognition | None:
    """Tell the variant by the neck and the head, the kind and number of blocks, and the stem's width."""
    if CLASSES not in state or not any(key.startswith("backbone.ERBlock_") for key in state):
        return None
    found = _facts({key: value.shape for key, value in rename(state, table(state)).items()})
    for variant, config in CONFIGS.items():
        if found == _facts_of(config):
            return Recognition(variant, str(found))
    raise LineageError(f"expected a YOLOv6 of a published size; got one of {found}")


def _facts(shapes: Mapping[str, tuple[int, ...]]) -> Facts:
    """Find the facts among our own keys."""
    keys = " ".join(shapes)
    stem = next((key for key in shapes if re.fullmatch(r"backbone\.stem\.(dense\.)?conv\.weight", key)), None)
    if stem is None:
        raise LineageError("expected the training form of a YOLOv6; the stem is not one")
    return Facts(
        release="3.0" if ".fusion." in keys else "0.1.0" if ".objectness." in keys else "2.0",
        levels=len(set(re.findall(r"head\.levels\.(\d)", keys))),
        convolutions="RepVGG" if ".dense." in stem else "plain",
        width=shapes[stem][0],
        stages="CSPStackRep" if "backbone.c4.blocks." in keys else "RepBlock",
        depth=len(set(re.findall(r"backbone\.c4\.(?:blocks\.)?(\d+)\.", keys))),
        added=AIDED if ".added.0.classes." in keys else TAUGHT if ".added.0.box." in keys else "",
    )


def _facts_of(config: YOLOv6Config) -> Facts:
    """Return the facts of a variant."""
    late = config if isinstance(config, YOLOv6V3Config) else None
    stack = config.blocks.stage is not RepBlock
    return Facts(
        release="3.0" if late else "0.1.0" if config.objectness else "2.0",
        levels=late.levels if late else 3,
        convolutions="RepVGG" if config.blocks.spatial is RepVGGBlock else "plain",
        width=config.channels(64)[0],
        stages="CSPStackRep" if stack else "RepBlock",
        depth=scaled_depth(18, config.depth) // (2 if stack else 1),
        added=AIDED if late and late.aided else TAUGHT if late and late.taught_bins else "",
    )


def _with_bins(state: State) -> dict[str, NDArray[np.generic]]:
    """Join the two copies of the constants that 2.0 and later have."""
    kept = {key: value for key, value in state.items() if key not in CONSTANTS}
    copies = [state[key].reshape(-1) for key in CONSTANTS if key in state]
    return kept | ({"head.bins": np.stack(copies)} if len({copy.size for copy in copies}) == 1 else {})


def table(state: State) -> Table:
    """Return the renames for a state dict of its release and number of levels."""
    neck = NECK6 if any(key.startswith("neck.Bifusion2.") for key in state) else NECK
    renames = tuple((rf"^neck\.{original}\.", f"neck.{ours}.") for original, ours in neck.items())
    head = HEAD_V1 if any(key.startswith("detect.obj_preds.") for key in state) else HEAD
    return (*BLOCKS, *BACKBONE, *renames, *head)
