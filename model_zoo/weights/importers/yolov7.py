"""YOLOv7: state dicts in training and in deployment form, keys `model.<index>....`.

The original is one list of single layers; `places` spells our blocks out in its order. The deployment form has no
auxiliary heads, so that its prediction layer has another index, and the implicit knowledge is folded in.
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
from model_zoo.weights.importers.checkpoint import Recognition
from model_zoo.weights.importers.renaming import State, Table, load, require
from model_zoo.weights.importers.yolov5 import anchors_in_pixels

Places = list[str | None]  # our module at each index of the original's list; None where there are no weights

HEADS = {  # index of the prediction layer in training, in deployment
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
STEMS = {
    **{variant: config.stem[0][0] for variant, config in yolov7.VARIANTS.items()},
    **{variant: config.width for variant, config in yolov7_p6.VARIANTS.items()},
}
NECK: Places = [
    *("reduce5", None, "lateral4", None, "up4", "reduce4", None, "lateral3", None, "up3"),
    *("down4", None, "merge4", "down5", None, "merge5", "out3", "out4", "out5"),
]
P6_NECK: Places = [
    *("reduce6", None, "lateral5", None, "up5", "reduce5", None, "lateral4", None, "up4"),
    *("reduce4", None, "lateral3", None, "up3", "down4", None, "merge4", "down5", None, "merge5"),
    *("down6", None, "merge6", "out3", "out4", "out5", "out6"),
]
BLOCKS: Table = (
    (r"\.cv(\d)\.", r".conv\1."),
    (r"\.rbr_dense\.0\.", ".dense.conv."),
    (r"\.rbr_dense\.1\.", ".dense.bn."),
    (r"\.rbr_1x1\.0\.", ".pointwise.conv."),
    (r"\.rbr_1x1\.1\.", ".pointwise.bn."),
)


def from_state_dict(variant: str, state: State) -> Detector:
    """Build `variant` with the class count and the anchors of the state, and its auxiliary heads if it has them."""
    index = _head_index(state)
    head = f"model.{HEADS[variant][0] if index is None else index}"
    bias = require(state, f"{head}.m.0.bias", variant)
    options = {"auxiliary": 0} if variant in yolov7_p6.VARIANTS and index == HEADS[variant][1] else {}
    detector = registry.build(variant, num_classes=bias.size // 3 - 5, options=options)
    kept = {key: value for key, value in state.items() if not key.endswith(".anchor_grid")}  # the anchors again
    kept[f"{head}.anchors"] = anchors_in_pixels(state, f"{head}.anchors", detector)
    if not any(key.startswith(f"{head}.i") for key in state):
        kept |= _no_knowledge(detector, head)
    return load(detector, kept, _table(places(detector)))


def recognize(state: State) -> Recognition | None:
    """Tell the variant by the index of the prediction layer and the width of the first convolution."""
    index = _head_index(state)
    stem = state.get("model.0.conv.weight", state.get("model.1.conv.weight"))
    variants = [variant for variant, indices in HEADS.items() if index in indices]
    if not variants or stem is None:
        return None
    width = np.atleast_1d(stem).shape[0]
    form = "training" if any(key.startswith(f"model.{index}.i") for key in state) else "deployment"
    told = f"{form} form, prediction at {index}, first convolution of {width} channels"
    for variant in variants:
        if STEMS[variant] == width:
            return Recognition(variant, told)
    raise LineageError(f"expected a YOLOv7 of a published size; got one with {told}")


def places(detector: Detector) -> Places:
    """Spell a detector out in the order of the original's list, up to the prediction layer."""
    found: Places = []
    for name, block in detector.backbone.named_children():
        found += _expand(f"backbone.{name}", block)
        if isinstance(block, MPConv) and not isinstance(block, DownC):
            found.append(None)  # its concatenation; in the neck that is one with the join's
    for place in P6_NECK if len(detector.head.strides) == 4 else NECK:
        found += [None] if place is None else _expand(f"neck.{place}", detector.neck.get_submodule(place))
    if isinstance(detector.head, AuxiliaryHead):
        found += [f"head.auxiliary.{i}.0" for i in range(len(detector.head.auxiliary))]
    return found


def _expand(name: str, block: nn.Module) -> Places:
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


def _table(layers: Places) -> Table:
    head = len(layers)
    return (
        *((rf"^model\.{index}\.", f"{place}.") for index, place in enumerate(layers) if place),
        (rf"^model\.{head}\.m\.", "head.predict."),
        (rf"^model\.{head}\.m2\.(\d)\.", r"head.auxiliary.\1.1."),
        (rf"^model\.{head}\.ia\.(\d)\.implicit$", r"head.predict.\1.add"),
        (rf"^model\.{head}\.im\.(\d)\.implicit$", r"head.predict.\1.multiply"),
        (rf"^model\.{head}\.anchors$", "head.anchors"),
        *BLOCKS,
    )


def _head_index(state: State) -> int | None:
    """Return the index of the prediction layer, the one with anchors."""
    found = [int(match[1]) for match in (re.fullmatch(r"model\.(\d+)\.anchors", key) for key in state) if match]
    return found[0] if len(found) == 1 else None


def _no_knowledge(detector: Detector, head: str) -> State:
    """Return implicit knowledge that changes nothing."""
    values: dict[str, np.ndarray] = {}
    for i, conv in enumerate(m for m in detector.head.modules() if isinstance(m, ImplicitConv)):
        values[f"{head}.ia.{i}.implicit"] = np.zeros(conv.add.shape, np.float32)
        values[f"{head}.im.{i}.implicit"] = np.ones(conv.multiply.shape, np.float32)
    return values
