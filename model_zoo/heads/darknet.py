"""Darknet's anchor heads: centers are inside (v2, v3) or near (v4) their cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model_zoo.heads.anchor import AnchorHead, Anchors
from model_zoo.heads.cells import corners


class YOLOHead(AnchorHead):
    """Head of YOLOv3 (`yolo`), with independent class probabilities: a box may have several labels.

    Centers are inside their cell; sizes are exponential (arXiv:1612.08242, section 2).
    """

    multi_label_below = 1.0  # Darknet reports every class of a box

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw x, y, w, h to boxes xyxy in pixels: centers (sigmoid + cell) * stride, sizes exp * anchor."""
        cells, strides, anchors = priors[..., :2], priors[..., 2:3], priors[..., 3:]
        return corners((raw[..., :2].sigmoid() + cells) * strides, raw[..., 2:].exp() * anchors)


class RegionHead(YOLOHead):
    """Head of YOLOv2 (`region`), with one softmax over the classes of every anchor."""

    def score(self, raw: Tensor) -> Tensor:
        """Decode raw objectness and classes to scores: objectness times class probability."""
        return torch.softmax(raw[..., 1:], dim=-1) * raw[..., :1].sigmoid()


class YOLOv4Head(YOLOHead):
    """Head of YOLOv4: centers may be outside their cell, scaled about its center (`scale_x_y` in Darknet).

    `scale_xy` holds the factor of each level, which is the sixth column of the priors.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        anchors: Anchors,
        strides: Sequence[int],
        scale_xy: Sequence[float],
    ) -> None:
        super().__init__(channels, num_classes, anchors, strides)
        self.scale_xy = tuple(scale_xy)

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N, 6): cell x, cell y, stride, anchor width, anchor height, scale_xy."""
        priors = super().priors(maps)
        counts = [m.shape[1] * m.shape[2] * m.shape[3] for m in maps]
        columns = [priors.new_full((count, 1), scale) for count, scale in zip(counts, self.scale_xy, strict=True)]
        return torch.cat([priors, torch.cat(columns)], dim=1)

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw x, y, w, h to boxes xyxy in pixels: centers (scale * (sigmoid - 1/2) + 1/2 + cell) * stride."""
        cells, strides, anchors, scale = priors[..., :2], priors[..., 2:3], priors[..., 3:5], priors[..., 5:]
        centers = (scale * raw[..., :2].sigmoid() - (scale - 1) / 2 + cells) * strides
        return corners(centers, raw[..., 2:].exp() * anchors)


class ScaledYOLOv4Head(AnchorHead):
    """Head of Scaled-YOLOv4 (`new_coords`): boxes are decoded as in YOLOv5, labels are reported as in Darknet."""

    multi_label_below = 1.0
