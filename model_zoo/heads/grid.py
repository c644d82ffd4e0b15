"""The head of YOLOv1 (arXiv:1506.02640, section 2): one vector for the whole image, read as a grid of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model_zoo.detector import Head
from model_zoo.heads.cells import corners


class GridParts(NamedTuple):
    """The raw vector by meaning: classes (B, S * S, C), confidences (B, S * S, n), boxes (B, S * S, n, 4)."""

    classes: Tensor
    confidences: Tensor
    boxes: Tensor


class GridHead(Head):
    """A fully connected layer predicts, for each of S x S cells, C class scores and n boxes with a confidence each.

    in_features: how many numbers it is given. cells: S. boxes: n. stride: side of a cell in pixels. The raw map is a
    vector (B, S * S * (C + 5n)): all class scores cell by cell, then all confidences, then all boxes (x, y, w, h).
    Nothing passes a sigmoid or softmax; x and y are shares of the cell, w and h square roots of shares of the image.
    """

    multi_label_below = 1.0  # Darknet lists every class of a box

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

    def rows(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, N, 5 + C): x, y, w, h, confidence, the classes of the cell; cell by cell, then box by box."""
        classes, confidences, boxes = self.split(maps[0])
        shared = classes[:, :, None].expand(-1, -1, self.boxes, -1)
        return torch.cat([boxes, confidences[..., None], shared], dim=3).flatten(1, 2)

    def priors(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N, 2): cell x, cell y."""
        side = torch.arange(self.cells, dtype=torch.float32, device=maps[0].device)
        y, x = torch.meshgrid(side, side, indexing="ij")
        return torch.stack([x, y], dim=-1).flatten(0, 1).repeat_interleave(self.boxes, dim=0)

    def ranking(self, rows: Tensor) -> Tensor:
        """Return the best score (B, N) itself: an unbounded class score allows no cheaper bound."""
        return (rows[..., 5:] * rows[..., 4:5]).amax(-1)

    def locate(self, raw: Tensor, priors: Tensor) -> Tensor:
        """Decode raw x, y and roots of w, h to boxes xyxy in pixels; a negative root gives a size too."""
        stride = self.strides[0]
        return corners((raw[..., :2] + priors) * stride, raw[..., 2:] ** 2 * (self.cells * stride))

    def score(self, raw: Tensor) -> Tensor:
        """Decode confidence and classes to scores: their product, clamped to 0..1, as both are linear outputs."""
        return (raw[..., 1:] * raw[..., :1]).clamp(0, 1)
