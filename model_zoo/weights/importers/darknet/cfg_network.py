"""Build any detector that a Darknet `.cfg` describes.

    detector = from_cfg("custom.cfg", "custom.weights")

The layers of a cfg refer to each other by index. They become the backbone of an ordinary detector, in the order in
which its `.weights` file stores them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_zoo.class_names import COCO_NAMES, VOC_NAMES
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Size
from model_zoo.detector import Detector, InputSpec
from model_zoo.families.yolov3 import DARKNET_LETTERBOX
from model_zoo.families.yolov4 import STRETCH
from model_zoo.weights.importers.darknet.cfg import (
    DETECTION,
    DetectorOptions,
    Section,
    parse_cfg,
    read_detector_options,
    read_text,
)
from model_zoo.weights.importers.darknet.heads import Level, build_head, family_of
from model_zoo.weights.importers.darknet.layers import build_layer
from model_zoo.weights.importers.darknet.plan import INPUT, PlannedLayer, plan_layers
from model_zoo.weights.importers.darknet.weights_file import count_floats, fill, read_weights, tensors

ALL_LAYERS = ("",)  # the network itself, as a layer order
CLASS_NAMES = {len(names): names for names in (COCO_NAMES, VOC_NAMES)}


class CfgNetwork(nn.Module):
    """The layers of a cfg, from images (B, 3, H, W) to the maps of the layers `outputs`. `cfg` is its text."""

    def __init__(self, planned: Sequence[PlannedLayer], outputs: Sequence[int], cfg: str) -> None:
        super().__init__()
        self.cfg = cfg
        self.layers = nn.ModuleList(build_layer(layer.section, layer.inputs) for layer in planned)
        self.sources = [layer.sources for layer in planned]
        self.outputs = tuple(outputs)
        last_readers = {source: index for index, sources in enumerate(self.sources) for source in sources}
        self.unused_after: list[list[int]] = [[] for _ in planned]  # maps that no later layer reads
        for source, index in last_readers.items():
            self.unused_after[index].append(source)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the output maps (B, C, h, w)."""
        maps = {INPUT: x}
        for index, (layer, sources) in enumerate(zip(self.layers, self.sources, strict=True)):
            maps[index] = layer(*(maps[source] for source in sources))
            for source in self.unused_after[index]:
                del maps[source]
        return [maps[index] for index in self.outputs]


def from_cfg(cfg: str | Path, weights: str | Path | None = None, class_names: Sequence[str] | None = None) -> Detector:
    """Build the detector that a cfg describes, in evaluation mode, with the weights of a file or untrained.

    Its variant is the file name of the cfg, its family the generation that introduced its head. Class names default to
    COCO's for 80 classes and VOC's for 20.

    Raises:
        LineageError: The cfg is not supported, the network is too large, or the weights belong to another network.
    """
    return from_cfg_text(read_text(cfg), Path(cfg), weights, class_names)


def from_cfg_text(
    text: str, path: Path, weights: str | Path | None = None, class_names: Sequence[str] | None = None
) -> Detector:
    """Build the detector of a cfg's text, like `from_cfg`. Error messages name it `path`.

    Raises:
        LineageError: As `from_cfg`.
    """
    sections = parse_cfg(text, path)
    options = read_detector_options(sections)
    planned = plan_layers(sections, options.size)
    by_layer = _levels(planned, options)
    outputs, levels = list(by_layer), list(by_layer.values())
    head, family = build_head(levels), family_of(levels)
    names = _class_names(path, options.num_classes, class_names)
    with torch.device("meta"):
        shape = CfgNetwork(planned, outputs, text).eval()
    numbers = None if weights is None else _numbers(weights, path, count_floats(tensors(shape, ALL_LAYERS)))
    network = CfgNetwork(planned, outputs, text)
    if numbers is not None:
        fill(tensors(network, ALL_LAYERS), numbers)
    spec = _input_spec(sections[0], options.size, family, _is_dynamic(shape, levels, options.size))
    return Detector(family, path.stem, network, nn.Identity(), head, spec, names).eval()


def _levels(planned: Sequence[PlannedLayer], options: DetectorOptions) -> dict[int, Level]:
    """Return the detection levels by layer index, sorted by increasing stride."""
    detections = [index for index, layer in enumerate(planned) if layer.section.kind in DETECTION]
    levels = {}
    for index, anchors in zip(detections, options.anchors, strict=True):
        layer = planned[index]
        stride = _stride(layer, options.size)
        levels[index] = Level(layer.section, anchors, options.num_classes, stride, layer.output.shape[1:])
    return dict(sorted(levels.items(), key=lambda item: item[1].stride))


def _stride(layer: PlannedLayer, size: Size) -> int:
    """Return the pixels per cell of a detection layer, which are equal in both directions."""
    section = layer.section
    side = section.integer("side", minimum=1) if section.kind == "detection" else None
    cells = (side, side) if side else layer.output.shape[2:]
    strides = {length / number for length, number in zip(size, cells, strict=True)}
    stride = strides.pop()
    if strides or stride % 1:
        raise section.error(
            f"expected an input of whole square cells; got {format_size(size)} pixels for {format_size(cells)}"
        )
    return int(stride)


def _numbers(weights: str | Path, cfg: Path, expected: int) -> NDArray[np.float32]:
    _, numbers = read_weights(weights)
    if numbers.size != expected:
        raise LineageError(
            f"{weights}: expected the {expected:,} floats of the network in {cfg.name}; the file has {numbers.size:,}. "
            "It belongs to another network or is truncated"
        )
    return numbers


def _class_names(cfg: Path, num_classes: int, names: Sequence[str] | None) -> Sequence[str]:
    if names is not None and len(names) != num_classes:
        raise LineageError(f"{cfg}: expected the names of its {num_classes} classes; got {len(names)}")
    return names or CLASS_NAMES.get(num_classes) or [f"class{i}" for i in range(num_classes)]


def _input_spec(net: Section, size: Size, family: str, dynamic: bool) -> InputSpec:
    """Return the input spec. By default Darknet letterboxes for YOLOv3 heads and stretches for others."""
    letterboxed = net.integer("letter_box", int(family == "yolov3"))
    return InputSpec(size, letterbox=DARKNET_LETTERBOX if letterboxed else STRETCH, dynamic=dynamic)


@torch.no_grad()
def _is_dynamic(network: CfgNetwork, levels: Sequence[Level], size: Size) -> bool:
    """Return True if the network, on the meta device, accepts other sizes in steps of its stride."""
    step = max(level.stride for level in levels)
    height, width = size[0] + step, size[1] + 2 * step
    try:
        maps = network(torch.empty(1, 3, height, width, device="meta"))
    except RuntimeError:
        return False
    grids = [(height // level.stride, width // level.stride) for level in levels]
    return levels[0].section.kind != "detection" and [tuple(m.shape[2:]) for m in maps] == grids
