"""Any detector of a Darknet `.cfg`, for networks that no family's page has.

    detector = from_cfg("mine.cfg", "mine.weights")

A cfg is a list of layers that name each other by their position in it. That stays in here: what comes out is a
detector like any other, whose backbone is the whole list, in the order in which its `.weights` file has the numbers.
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
from model_zoo.contract.letterbox import Size
from model_zoo.detector import Detector, InputSpec
from model_zoo.families.yolov3 import DARKNET_LETTERBOX
from model_zoo.families.yolov4 import STRETCH
from model_zoo.weights.importers.darknet.cfg import DETECTION, Detections, Section, detections, parse_cfg, read_text
from model_zoo.weights.importers.darknet.file import count, fill, read_weights, tensors
from model_zoo.weights.importers.darknet.heads import Level, family_of, make_head
from model_zoo.weights.importers.darknet.layers import make
from model_zoo.weights.importers.darknet.plan import IMAGE, Step, plan

WHOLE = ("",)  # the network itself, as an order of its modules
NAMES = {len(names): names for names in (COCO_NAMES, VOC_NAMES)}


class CfgNetwork(nn.Module):
    """The layers of a cfg, from images (B, 3, H, W) to the maps at the positions `ends`; `cfg` is the text itself."""

    def __init__(self, steps: Sequence[Step], ends: Sequence[int], cfg: str) -> None:
        super().__init__()
        self.cfg = cfg
        self.layers = nn.ModuleList(make(step.section, step.inputs) for step in steps)
        self.sources = [step.sources for step in steps]
        self.ends = tuple(ends)
        last_readers = {source: index for index, sources in enumerate(self.sources) for source in sources}
        self.done: list[list[int]] = [[] for _ in steps]  # maps that nobody reads after each layer
        for source, index in last_readers.items():
            self.done[index].append(source)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps (B, C, h, w)."""
        maps = {IMAGE: x}
        for index, (layer, sources) in enumerate(zip(self.layers, self.sources, strict=True)):
            maps[index] = layer(*(maps[source] for source in sources))
            for source in self.done[index]:
                del maps[source]
        return [maps[end] for end in self.ends]


def from_cfg(cfg: str | Path, weights: str | Path | None = None, class_names: Sequence[str] | None = None) -> Detector:
    """Build the detector that a cfg describes, in evaluation mode, with the numbers of a `.weights` file or untrained.

    Its variant is the name of the cfg, its family the generation whose head it has. Class names are COCO's for 80
    classes and VOC's for 20, unless given. Raises LineageError with file and line where the cfg has what is not known,
    before anything large is allocated, and with both counts where the weights are of another network.
    """
    return from_text(read_text(cfg), Path(cfg), weights, class_names)


def from_text(
    text: str, path: Path, weights: str | Path | None = None, class_names: Sequence[str] | None = None
) -> Detector:
    """Build the detector of a cfg's text, which is, or was, in the file `path`; otherwise as `from_cfg`."""
    sections = parse_cfg(text, path)
    told = detections(sections)
    steps = plan(sections, told.size)
    by_position = _levels(steps, told)
    ends, levels = list(by_position), list(by_position.values())
    head, family = make_head(levels), family_of(levels)
    names = _class_names(path, told.num_classes, class_names)
    with torch.device("meta"):
        shape = CfgNetwork(steps, ends, text).eval()
    numbers = None if weights is None else _numbers(weights, path, count(tensors(shape, WHOLE)))
    network = CfgNetwork(steps, ends, text)
    if numbers is not None:
        fill(tensors(network, WHOLE), numbers)
    spec = _input_spec(sections[0], told.size, family, _is_dynamic(shape, levels, told.size))
    return Detector(family, path.stem, network, nn.Identity(), head, spec, names).eval()


def _levels(steps: Sequence[Step], told: Detections) -> dict[int, Level]:
    """Describe the detection sections by position, by rising stride."""
    ends = [index for index, step in enumerate(steps) if step.section.kind in DETECTION]
    levels = {
        index: Level(
            steps[index].section,
            anchors,
            told.num_classes,
            _stride(steps[index], told.size),
            steps[index].output.shape[1:],
        )
        for index, anchors in zip(ends, told.anchors, strict=True)
    }
    return dict(sorted(levels.items(), key=lambda item: item[1].stride))


def _stride(step: Step, size: Size) -> int:
    """Return the pixels per cell of a detection section, the same in both directions."""
    section = step.section
    side = section.integer("side", least=1) if section.kind == "detection" else None
    cells = (side, side) if side else step.output.shape[2:]
    strides = {length / number for length, number in zip(size, cells, strict=True)}
    stride = strides.pop()
    if strides or stride % 1:
        raise section.problem(
            f"expected an input of whole square cells; got {size[0]} x {size[1]} pixels for {cells[0]} x {cells[1]}"
        )
    return int(stride)


def _numbers(weights: str | Path, cfg: Path, needed: int) -> NDArray[np.float32]:
    _, numbers = read_weights(weights)
    if numbers.size != needed:
        raise LineageError(
            f"{weights}: expected the {needed:,} floats of the network in {cfg.name}; the file has {numbers.size:,}: "
            "it is of another network, or cut off"
        )
    return numbers


def _class_names(cfg: Path, num_classes: int, names: Sequence[str] | None) -> Sequence[str]:
    if names is not None and len(names) != num_classes:
        raise LineageError(f"{cfg}: expected the names of its {num_classes} classes; got {len(names)}")
    return names or NAMES.get(num_classes) or [f"class{i}" for i in range(num_classes)]


def _input_spec(net: Section, size: Size, family: str, dynamic: bool) -> InputSpec:
    """Return what the network sees: Darknet letterboxes where the cfg says so, and did for YOLOv3."""
    boxed = net.integer("letter_box", int(family == "yolov3"))
    return InputSpec(size, letterbox=DARKNET_LETTERBOX if boxed else STRETCH, dynamic=dynamic)


@torch.no_grad()
def _is_dynamic(network: CfgNetwork, levels: Sequence[Level], size: Size) -> bool:
    """Try whether the network, on the meta device, takes other sizes in steps of its stride."""
    step = max(level.stride for level in levels)
    height, width = size[0] + step, size[1] + 2 * step
    try:
        maps = network(torch.empty(1, 3, height, width, device="meta"))
    except RuntimeError:
        return False
    grids = [(height // level.stride, width // level.stride) for level in levels]
    return levels[0].section.kind != "detection" and [tuple(m.shape[2:]) for m in maps] == grids
