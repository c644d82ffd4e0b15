"""Head of YOLOv1 (arXiv:1506.02640, section 2): one vector for the whole image, interpreted as a grid of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model_zoo.detector import Head
from model_zoo.heads.cells import corners


class GridParts(NamedTuple):
    """Parts of the raw vector."""

    classes: Tensor
    """Class scores of each cell, (B, S * S, C)."""
    confidences: Tensor
    """Confidences of the boxes of each cell, (B, S * S, n)."""
    boxes: Tensor
    """x, y, w, h of the boxes of each cell, (B, S * S, n, 4)."""


class GridHead(Head):
    """A fully connected layer predicts C class scores and n boxes with a confidence each for every one of S x S cells.

    The raw map is a vector (B, S * S * (C + 5n)). It has all class scores, cell by cell, then all confidences, then all
    boxes (x, y, w, h). All are linear outputs. x and y are relative to the cell; w and h are square roots of
    fractions of the image.

    Args:
        in_features: Number of input features.
        num_classes: Number of classes, C.
        boxes: Boxes per cell, n.
        cells: Cells per side, S.
        stride: Side of a cell in pixels.
    """

    multi_label_below = 1.0  # Darknet reports every class of a box

    def __init__(self, in_features: int, num_classes: int, *, boxes: int, cells: int = 7, stride: int = 64) -> None:
        super().__init__()
        self.strides, self.num_classes = (stride,), num_classes
        self.cells, self.boxes = cells, boxes
        self.predict = nn.Linear(in_features, cells**2 * (num_classes + 5 * boxes))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the raw vector (B, S * S * (C + 5n)) of features (B, ...)."""
        return [self.predict(features.flatten(1))]

    def split(self, raw: Tensor) -> GridParts:
        """Split the raw vector into its parts."""
        area = self.cells**2
        classes, confidences, boxes = raw.split([area * n for n in (self.num_classes, self.boxes, 4 * self.boxes)], 1)
        return GridParts(
            classes.unflatten(1, (area, self.num_classes)),
            confidences.unflatten(1, (area, self.boxes)),
            boxes.unflatten(1, (area, self.boxes, 4)),
        )

    def planes(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return (B, 1, 5 + C, S * S, n): x, y, w, h, confidence and the classes of the cell."""
        classes, confidences, boxes = self.split(maps[0])
        shared = classes[:, :, None].expand(-1, -1, self.boxes, -1)
        return [torch.cat([boxes, confidences[..., None], shared], dim=3).movedim(3, 1).unsqueeze(1)]

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N, 2): cell x, cell y."""
        side = torch.arange(self.cells, dtype=torch.float32, device=maps[0].device)
        y, x = torch.meshgrid(side, side, indexing="ij")
        return torch.stack([x, y], dim=-1).flatten(0, 1).repeat_interleave(self.boxes, dim=0)

    def ranking(self, rows: Tensor, dim: int = -1) -> Tensor:
        """Return the highest score itself: class scores are unbounded, so there is no cheaper bound."""
        return (rows.narrow(dim, 5, self.num_classes) * rows.narrow(dim, 4, 1)).amax(dim)

    def bound(self, ranking: Tensor) -> Tensor:
        """Return the ranking, which is a score."""
        return ranking

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw x, y and roots of w, h to boxes xyxy in pixels. A root may be negative."""
        stride = self.strides[0]
        return corners((raw[..., :2] + priors) * stride, raw[..., 2:] ** 2 * (self.cells * stride))

    def score(self, raw: Tensor) -> Tensor:
        """Decode confidence and classes to scores: their product, clamped to 0..1, as both are linear outputs."""
        return (raw[..., 1:] * raw[..., :1]).clamp(0, 1)
