"""Build the detector head of a Darknet cfg: one level per detection section, each with its own anchors."""

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
    """A detection section and the map it reads."""

    section: Section
    """Section of the cfg."""
    anchors: Anchors
    """Anchors in the cfg's unit."""
    num_classes: int
    """Class count."""
    stride: int
    """Pixels per cell."""
    shape: Sequence[int]
    """Shape (C, h, w) of the map."""


class JointHead(Head):
    """Anchor levels with their own anchor counts. The prediction layers are part of the network."""

    def __init__(self, levels: Sequence[AnchorHead]) -> None:
        super().__init__()
        self.strides = tuple(level.strides[0] for level in levels)
        self.num_classes = levels[0].num_classes
        self.multi_label_below = levels[0].multi_label_below
        self.levels = nn.ModuleList(levels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the raw maps (B, A, h, w, 5 + C)."""
        return [level.as_map(x) for level, x in zip(self._levels, features, strict=True)]

    def planes(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """View the maps as (B, A, 5 + C, h, w)."""
        return self._levels[0].planes(maps)

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the priors (N, P) of all levels."""
        return torch.cat([level.priors([x]) for level, x in zip(self._levels, maps, strict=True)])

    def ranking(self, rows: Tensor, dim: int = -1) -> Tensor:
        """Return the raw objectness, whose sigmoid bounds every class score."""
        return self._levels[0].ranking(rows, dim)

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw x, y, w, h to boxes xyxy in pixels, as all levels do."""
        return self._levels[0].locate(raw, priors)

    def score(self, raw: Tensor) -> Tensor:
        """Decode raw objectness and classes to scores, as all levels do."""
        return self._levels[0].score(raw)

    @property
    def _levels(self) -> list[AnchorHead]:
        return cast("list[AnchorHead]", list(self.levels))


class VectorHead(GridHead):
    """YOLOv1's head without its own layers: the network predicts the vector."""

    def __init__(self, num_classes: int, *, boxes: int, cells: int, stride: int) -> None:
        super().__init__(1, num_classes, boxes=boxes, cells=cells, stride=stride)
        del self.predict

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:  # type: ignore[override]  # one map, not a list of levels
        """Return the single map (B, ...) flattened to the raw vector (B, S * S * (C + 5n))."""
        return [features[0].flatten(1)]


def build_head(levels: Sequence[Level]) -> Head:
    """Build the head of detection sections, sorted by increasing stride.

    Raises:
        LineageError: The sections are of different kinds, or have unsupported options.
    """
    section = levels[0].section
    if len({(level.section.kind, _new_coords(level.section)) for level in levels}) > 1:
        raise section.error("expected detection sections of one kind, with one value of new_coords")
    if section.kind == "detection":
        return _grid_head(levels)
    return JointHead([_anchor_head(level) for level in levels])


def family_of(levels: Sequence[Level]) -> str:
    """Return the generation that introduced the head."""
    kind = levels[0].section.kind
    is_yolov4 = any(_new_coords(level.section) or level.section.number("scale_x_y", 1) != 1 for level in levels)
    return "yolov4" if is_yolov4 else {"detection": "yolov1", "region": "yolov2", "yolo": "yolov3"}[kind]


def _anchor_head(level: Level) -> AnchorHead:
    """Build the head of one level, without its own convolutions."""
    section, classes, stride = level.section, level.num_classes, level.stride
    _check_anchors(level)
    head: AnchorHead
    if section.kind == "region":
        section.require(coords=4, softmax=1)
        pixels = tuple((width * stride, height * stride) for width, height in level.anchors)
        head = RegionHead((1,), classes, (pixels,), (stride,))
    elif _new_coords(section):
        section.require(scale_x_y=2)
        head = AnchorHead((1,), classes, (level.anchors,), (stride,))
    else:
        head = YOLOv4Head((1,), classes, (level.anchors,), (stride,), (section.number("scale_x_y", 1),))
    head.predict = nn.ModuleList()
    return head


def _check_anchors(level: Level) -> None:
    count, classes, channels = len(level.anchors), level.num_classes, level.shape[0]
    if not count or any(side <= 0 for anchor in level.anchors for side in anchor):
        raise level.section.error("expected anchors with positive sides", "anchors")
    if channels != count * (5 + classes):
        raise level.section.error(
            f"expected a map of {count} anchors x (5 + {classes} classes) = {count * (5 + classes)} channels; "
            f"the previous layer outputs {channels}"
        )


def _grid_head(levels: Sequence[Level]) -> VectorHead:
    section, _, classes, stride, shape = levels[0]
    if len(levels) > 1:
        raise levels[1].section.error("expected one [detection] section; got several")
    section.require(coords=4, softmax=0, sqrt=1)
    cells, boxes = section.integer("side", minimum=1), section.integer("num", minimum=1)
    values, expected = shape[0] * shape[1] * shape[2], cells**2 * (classes + 5 * boxes)
    if values != expected:
        raise section.error(
            f"expected {cells} x {cells} cells x ({classes} classes + {boxes} boxes x 5) = {expected} values; "
            f"the previous layer outputs {values}"
        )
    return VectorHead(classes, boxes=boxes, cells=cells, stride=stride)


def _new_coords(section: Section) -> bool:
    return section.integer("new_coords", 0) != 0
