"""The head of a Darknet cfg: a level for each detection section, with its own anchors, decoded as a family decodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from model_zoo.detector import Head
from model_zoo.heads.anchor import AnchorHead
from model_zoo.heads.darknet import RegionHead, YOLOv4Head
from model_zoo.heads.grid import GridHead
from model_zoo.weights.importers.darknet.cfg import Anchors, Section


class Level(NamedTuple):
    """A detection section, its anchors (as the cfg has them), its classes, its stride, the shape of its map."""

    section: Section
    anchors: Anchors
    num_classes: int
    stride: int
    shape: Sequence[int]


class JointHead(Head):
    """Levels of one kind, each of which may have its own number of anchors; the network predicts their maps itself."""

    def __init__(self, levels: Sequence[AnchorHead]) -> None:
        super().__init__()
        self.strides = tuple(level.strides[0] for level in levels)
        self.num_classes = levels[0].num_classes
        self.multi_label_below = levels[0].multi_label_below
        self.levels = nn.ModuleList(levels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the raw maps (B, A, h, w, 5 + C)."""
        return [level.as_map(x) for level, x in zip(self._levels, features, strict=True)]

    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """Flatten the maps to (B, N, 5 + C): level, anchor, y, x."""
        return self._levels[0].rows(maps)

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the priors (N, P) of each level's own head."""
        return torch.cat([level.priors([x]) for level, x in zip(self._levels, maps, strict=True)])

    def ranking(self, rows: Tensor) -> Tensor:
        """Return the raw objectness (B, N): no class score exceeds its sigmoid."""
        return self._levels[0].ranking(rows)

    def decode(self, rows: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, n, 4) xyxy in input pixels and scores (B, n, C)."""
        return self._levels[0].decode(rows, priors)

    @property
    def _levels(self) -> list[AnchorHead]:
        return cast("list[AnchorHead]", list(self.levels))


class VectorHead(GridHead):
    """The head of YOLOv1 for a network that predicts the vector itself."""

    def __init__(self, num_classes: int, *, boxes: int, cells: int, stride: int) -> None:
        super().__init__(1, num_classes, boxes=boxes, cells=cells, stride=stride)
        del self.predict

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:  # type: ignore[override]  # one map, not a list of levels
        """Return the raw vector (B, S * S * (C + 5n)) of the one map (B, ...)."""
        return [features[0].flatten(1)]


def make_head(levels: Sequence[Level]) -> Head:
    """Make the head of detection sections, given by rising stride; LineageError if it is of no known kind."""
    section = levels[0].section
    if len({(each.section.kind, _new_coords(each.section)) for each in levels}) > 1:
        raise section.problem("expected detection sections of one kind, with one value of new_coords")
    if section.kind == "detection":
        return _grid(levels)
    return JointHead([_anchor_head(level) for level in levels])


def family_of(levels: Sequence[Level]) -> str:
    """Tell which generation introduced the head."""
    kind = levels[0].section.kind
    newer = any(_new_coords(each.section) or each.section.number("scale_x_y", 1) != 1 for each in levels)
    return "yolov4" if newer else {"detection": "yolov1", "region": "yolov2", "yolo": "yolov3"}[kind]


def _anchor_head(level: Level) -> AnchorHead:
    """Make a level's head, without convolutions of its own."""
    section, classes, stride = level.section, level.num_classes, level.stride
    _check_anchors(level)
    reach = section.number("scale_x_y", 1)
    head: AnchorHead
    if section.kind == "region":
        _expect(section, coords=4, softmax=1)
        pixels = tuple((width * stride, height * stride) for width, height in level.anchors)
        head = RegionHead((1,), classes, (pixels,), (stride,))
    elif _new_coords(section):
        _expect(section, scale_x_y=2)
        head = AnchorHead((1,), classes, (level.anchors,), (stride,))
    else:
        head = YOLOv4Head((1,), classes, (level.anchors,), (stride,), (reach,))
    head.predict = nn.ModuleList()
    return head


def _check_anchors(level: Level) -> None:
    count, classes, channels = len(level.anchors), level.num_classes, level.shape[0]
    if not count or any(side <= 0 for anchor in level.anchors for side in anchor):
        raise level.section.problem("expected anchors, all of them positive", "anchors")
    if channels != count * (5 + classes):
        raise level.section.problem(
            f"expected a map of {count} anchors x (5 + {classes} classes) = {count * (5 + classes)} channels; "
            f"the layer before gives {channels}"
        )


def _grid(levels: Sequence[Level]) -> VectorHead:
    section, _, classes, stride, shape = levels[0]
    if len(levels) > 1:
        raise levels[1].section.problem("expected one [detection]; there are more")
    _expect(section, coords=4, softmax=0, sqrt=1)
    cells, boxes = section.integer("side", least=1), section.integer("num", least=1)
    numbers, wanted = shape[0] * shape[1] * shape[2], cells**2 * (classes + 5 * boxes)
    if numbers != wanted:
        raise section.problem(
            f"expected {cells} x {cells} cells x ({classes} classes + {boxes} boxes x 5) = {wanted} numbers; "
            f"the layer before gives {numbers}"
        )
    return VectorHead(classes, boxes=boxes, cells=cells, stride=stride)


def _expect(section: Section, **values: float) -> None:
    for name, value in values.items():
        if section.number(name, -1) != value:
            raise section.problem(f"expected {name}={value:g}, the only one supported", name)


def _new_coords(section: Section) -> bool:
    return section.integer("new_coords", 0) != 0
