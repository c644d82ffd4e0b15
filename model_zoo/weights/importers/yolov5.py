"""Import YOLOv5 state dicts of v4.0 to v7.0, with keys `model.<index>....`."""

from __future__ import annotations

import re

import numpy as np

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.families.yolov5 import VARIANTS, YOLOv5Config
from model_zoo.weights.importers.identification import Identification
from model_zoo.weights.importers.renaming import RenameTable, load, require
from model_zoo.weights.state_dict import StateDict

BACKBONE = ("stem", "down2", "c2", "down3", "c3", "down4", "c4", "down5", "c5", "pyramid")
FOCUS_BACKBONE = ("stem", "down2", "c2", "down3", "c3", "down4", "c4", "down5", "spp", "c5")
P6_BACKBONE = ("stem", "down2", "c2", "down3", "c3", "down4", "c4", "down5", "c5", "down6", "c6", "pyramid")
NECK = {
    **{10: "reduce5", 13: "up4.merge", 14: "reduce4", 17: "up3.merge"},
    **{18: "down4.down", 20: "down4.merge", 21: "down5.down", 23: "down5.merge"},
}
P6_NECK = {
    **{12: "reduce6", 15: "up5.merge", 16: "reduce5", 19: "up4.merge", 20: "reduce4", 23: "up3.merge"},
    **{24: "down4.down", 26: "down4.merge", 27: "down5.down", 29: "down5.merge", 30: "down6.down", 32: "down6.merge"},
}
BLOCKS: RenameTable = ((r"\.cv(\d)\.", r".conv\1."), (r"(backbone.*|neck.*)\.m\.(\d+)\.", r"\1.blocks.\2."))


def from_state_dict(variant: str, state: StateDict) -> Detector:
    """Build `variant` with the class count and anchors of the state dict."""
    config = VARIANTS[variant]
    head = f"model.{_head_index(config)}"
    bias = require(state, f"{head}.m.0.bias", variant)
    detector = registry.build(variant, num_classes=bias.size // len(config.anchors[0]) - 5)
    # `anchor_grid` is a second copy of the anchors, in pixels.
    renamable = {key: value for key, value in state.items() if not key.endswith(".anchor_grid")}
    renamable[f"{head}.anchors"] = anchors_in_pixels(state, f"{head}.anchors", detector)
    return load(detector, renamable, _table(config))


def identify(state: StateDict) -> Identification | None:
    """Identify the variant by head index, stem kind and width, and the number of bottlenecks in c2."""
    matches = (re.fullmatch(r"model\.(\d+)\.anchors", key) for key in state)
    heads = [int(match[1]) for match in matches if match]
    stem = next((key for key in ("model.0.conv.weight", "model.0.conv.conv.weight") if key in state), None)
    if len(heads) != 1 or heads[0] not in (24, 33) or stem is None:
        return None
    blocks = sum(re.fullmatch(r"model\.2\.m\.\d+\.cv1\.conv\.weight", key) is not None for key in state)
    focus, width = stem.endswith("conv.conv.weight"), np.atleast_1d(state[stem]).shape[0]
    properties = (heads[0], focus, width, blocks)
    description = (
        f"{'Focus' if focus else '6x6'} stem of {width} channels, {blocks} bottlenecks in c2, head at {heads[0]}"
    )
    for variant, config in VARIANTS.items():
        if properties == (_head_index(config), config.focus, *config.channels(64), config.repeats(3)):
            return Identification(variant, description)
    raise LineageError(f"expected a published size of YOLOv5; got {description}")


def _head_index(config: YOLOv5Config) -> int:
    return 33 if config.levels == 4 else 24


def anchors_in_pixels(state: StateDict, key: str, detector: Detector) -> np.ndarray:
    """Return the anchors in pixels. The file has them in cells of their level."""
    anchors = np.asarray(require(state, key, detector.variant), dtype=np.float32)
    strides = np.asarray(detector.head.strides, dtype=np.float32)
    if anchors.ndim != 3 or len(anchors) != len(strides):
        raise LineageError(f"{key}: expected shape ({len(strides)}, anchors, 2); got {anchors.shape}")
    return anchors * strides[:, None, None]


def _table(config: YOLOv5Config) -> RenameTable:
    head = _head_index(config)
    backbone = P6_BACKBONE if config.levels == 4 else FOCUS_BACKBONE if config.focus else BACKBONE
    neck = P6_NECK if config.levels == 4 else NECK
    return (
        *((rf"^model\.{index}\.", f"backbone.{stage}.") for index, stage in enumerate(backbone)),
        *((rf"^model\.{index}\.", f"neck.{stage}.") for index, stage in neck.items()),
        (rf"^model\.{head}\.m\.", "head.predict."),
        (rf"^model\.{head}\.anchors$", "head.anchors"),
        *BLOCKS,
    )
