"""Import YOLOv7 state dicts in training and deployment form, with keys `model.<index>....`.

The original network is a flat list of layers. `original_layers` expands the blocks in that order. The deployment form
has no auxiliary heads, so its prediction layer has another index. Its implicit knowledge is fused.
"""

from __future__ import annotations

import re

import numpy as np
from torch import nn

from model_zoo import registry
from model_zoo.blocks.elan import EELAN, ELAN
from model_zoo.blocks.focus import Focus
from model_zoo.blocks.mp_conv import DownC, MPConv
from model_zoo.blocks.sppcspc import TinySPPCSPC
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.families import yolov7, yolov7_p6
from model_zoo.heads.implicit import AuxiliaryHead, ImplicitConv
from model_zoo.weights.importers.identification import Identification
from model_zoo.weights.importers.renaming import RenameTable, load, require
from model_zoo.weights.importers.yolov5 import anchors_in_pixels
from model_zoo.weights.state_dict import StateDict

Layers = list[str | None]  # native module at each index of the original list, None for layers without weights

HEAD_INDICES = {  # of the prediction layer: in training form, in deployment form
    "yolov7-tiny": (77, 77),
    "yolov7": (105, 105),
    "yolov7x": (121, 121),
    "yolov7-w6": (122, 118),
    "yolov7-e6": (144, 140),
    "yolov7-d6": (166, 162),
    "yolov7-e6e": (265, 261),
    "yolov7-test": (105, 105),
    "yolov7-p6-test": (100, 96),
}
STEM_WIDTHS = {
    **{variant: config.stem[0][0] for variant, config in yolov7.VARIANTS.items()},
    **{variant: config.width for variant, config in yolov7_p6.VARIANTS.items()},
}
NECK: Layers = [
    *("reduce5", None, "lateral4", None, "up4", "reduce4", None, "lateral3", None, "up3"),
    *("down4", None, "merge4", "down5", None, "merge5", "out3", "out4", "out5"),
]
P6_NECK: Layers = [
    *("reduce6", None, "lateral5", None, "up5", "reduce5", None, "lateral4", None, "up4"),
    *("reduce4", None, "lateral3", None, "up3", "down4", None, "merge4", "down5", None, "merge5"),
    *("down6", None, "merge6", "out3", "out4", "out5", "out6"),
]
BLOCKS: RenameTable = (
    (r"\.cv(\d)\.", r".conv\1."),
    (r"\.rbr_dense\.0\.", ".dense.conv."),
    (r"\.rbr_dense\.1\.", ".dense.bn."),
    (r"\.rbr_1x1\.0\.", ".pointwise.conv."),
    (r"\.rbr_1x1\.1\.", ".pointwise.bn."),
)


def from_state_dict(variant: str, state: StateDict) -> Detector:
    """Build `variant` with the class count and anchors of the state dict, and its auxiliary heads if it has any."""
    index = _head_index(state)
    head = f"model.{HEAD_INDICES[variant][0] if index is None else index}"
    bias = require(state, f"{head}.m.0.bias", variant)
    options = {"auxiliary": 0} if variant in yolov7_p6.VARIANTS and index == HEAD_INDICES[variant][1] else {}
    detector = registry.build(variant, num_classes=bias.size // 3 - 5, options=options)
    # `anchor_grid` is a second copy of the anchors, in pixels.
    renamable = {key: value for key, value in state.items() if not key.endswith(".anchor_grid")}
    renamable[f"{head}.anchors"] = anchors_in_pixels(state, f"{head}.anchors", detector)
    if not any(key.startswith(f"{head}.i") for key in state):
        renamable |= _neutral_knowledge(detector, head)
    return load(detector, renamable, _table(original_layers(detector)))


def identify(state: StateDict) -> Identification | None:
    """Identify the variant by the index of the prediction layer and the width of the first convolution."""
    index = _head_index(state)
    stem = state.get("model.0.conv.weight", state.get("model.1.conv.weight"))
    variants = [variant for variant, indices in HEAD_INDICES.items() if index in indices]
    if not variants or stem is None:
        return None
    width = np.atleast_1d(stem).shape[0]
    form = "training" if any(key.startswith(f"model.{index}.i") for key in state) else "deployment"
    description = f"{form} form, prediction at {index}, first convolution of {width} channels"
    for variant in variants:
        if STEM_WIDTHS[variant] == width:
            return Identification(variant, description)
    raise LineageError(f"expected a published size of YOLOv7; got {description}")


def original_layers(detector: Detector) -> Layers:
    """List the modules of a detector in the order of the original layers, up to the prediction layer."""
    layers: Layers = []
    for name, block in detector.backbone.named_children():
        layers += _expand(f"backbone.{name}", block)
        if isinstance(block, MPConv) and not isinstance(block, DownC):
            layers.append(None)  # its concatenation; in the neck it is part of the join
    for part in P6_NECK if len(detector.head.strides) == 4 else NECK:
        layers += [None] if part is None else _expand(f"neck.{part}", detector.neck.get_submodule(part))
    if isinstance(detector.head, AuxiliaryHead):
        layers += [f"head.auxiliary.{i}.0" for i in range(len(detector.head.auxiliary))]
    return layers


def _expand(name: str, block: nn.Module) -> Layers:
    match block:
        case ELAN():
            chain = [
                f"{name}.blocks.{i}.{j}" for i, inner in enumerate(block.blocks) for j, _ in enumerate(inner.children())
            ]
            return [f"{name}.left", f"{name}.right", *chain, None, f"{name}.join"]
        case EELAN():
            return [*_expand(f"{name}.first", block.first), *_expand(f"{name}.second", block.second), None]
        case TinySPPCSPC():
            pools_and_join = [None] * 4
            return [f"{name}.around", f"{name}.before", *pools_and_join, f"{name}.after", None, f"{name}.join"]
        case Focus():
            return [None, f"{name}.conv"]
        case nn.Sequential():
            return [f"{name}.{i}" for i in range(len(block))]
        case nn.MaxPool2d():
            return [None]
        case MPConv() if not isinstance(block, DownC):
            return [None, f"{name}.conv3", f"{name}.conv1", f"{name}.conv2"]
    return [name]


def _table(layers: Layers) -> RenameTable:
    head = len(layers)
    return (
        *((rf"^model\.{index}\.", f"{layer}.") for index, layer in enumerate(layers) if layer),
        (rf"^model\.{head}\.m\.", "head.predict."),
        (rf"^model\.{head}\.m2\.(\d)\.", r"head.auxiliary.\1.1."),
        (rf"^model\.{head}\.ia\.(\d)\.implicit$", r"head.predict.\1.add"),
        (rf"^model\.{head}\.im\.(\d)\.implicit$", r"head.predict.\1.multiply"),
        (rf"^model\.{head}\.anchors$", "head.anchors"),
        *BLOCKS,
    )


def _head_index(state: StateDict) -> int | None:
    """Return the index of the prediction layer, which is the one with anchors."""
    matches = (re.fullmatch(r"model\.(\d+)\.anchors", key) for key in state)
    indices = [int(match[1]) for match in matches if match]
    return indices[0] if len(indices) == 1 else None


def _neutral_knowledge(detector: Detector, head: str) -> StateDict:
    """Return implicit knowledge that changes no output."""
    values: dict[str, np.ndarray] = {}
    for i, conv in enumerate(m for m in detector.head.modules() if isinstance(m, ImplicitConv)):
        values[f"{head}.ia.{i}.implicit"] = np.zeros(conv.add.shape, np.float32)
        values[f"{head}.im.{i}.implicit"] = np.ones(conv.multiply.shape, np.float32)
    return values
