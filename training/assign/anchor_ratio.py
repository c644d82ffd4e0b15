"""YOLOv5's assigner: an anchor learns every object of similar width and height, in the cells nearest to its center.

There is no paper. An object may be learned by several anchors of several levels, and by up to three cells of each: its
own and those that its center is within half a cell of. Rows have the order of the original (level; own cell, left,
upper, right, lower; anchor; object), because the last of several rows in one cell gives the objectness there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SIDES = ((0.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0))  # own cell, left, upper, right, lower


class Matches(NamedTuple):
    """Predictions that learn objects, one a row: int64 (R,) each.

    level, image, anchor, y, x: which prediction; its raw numbers are maps[level][image, anchor, y, x]. target: index
    of the object. The same prediction may appear several times.
    """

    level: Tensor
    image: Tensor
    anchor: Tensor
    y: Tensor
    x: Tensor
    target: Tensor

    def pick(self, rows: Tensor) -> Matches:
        """Return the rows that an index or a mask picks."""
        return Matches(*(column[rows] for column in self))


class Levels(NamedTuple):
    """What an anchor head predicts on.

    anchors: (L, A, 2) width and height in pixels. strides: (L,) pixels per cell. sizes: (L, 2) cells across and down.
    """

    anchors: Tensor
    strides: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, maps: Sequence[Tensor], anchors: Tensor, strides: Sequence[int]) -> Levels:
        """Describe raw maps (B, A, h, w, 5 + C), in their dtype and on their device."""
        like = maps[0]
        sizes = [(m.shape[3], m.shape[2]) for m in maps]
        return cls(anchors.to(like), like.new_tensor(strides), like.new_tensor(sizes))


@torch.no_grad()
def ratio_matches(
    boxes: Tensor, image_index: Tensor, levels: Levels, *, limit: float = 4.0, reach: float = 0.5
) -> Matches:
    """Match objects with anchors whose sides are less than `limit` times larger or smaller.

    boxes: (T, 4) xyxy in pixels, of the images image_index (T,). reach: how far, in cells, a center reaches into its
    neighbors: 0.5 gives two of the four, 1 all (YOLOv7's auxiliary heads). Centers on the border or outside count to
    the nearest cell. A center on the line between two cells gives its own cell twice, as in the original.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    ratio = sides / levels.anchors[:, :, None]  # (L, A, T, 2)
    level, anchor, target = (torch.maximum(ratio, 1 / ratio).amax(-1) < limit).nonzero(as_tuple=True)
    centers = (boxes[:, :2] + boxes[:, 2:])[target] / 2 / levels.strides[level, None]
    near = torch.cat([_within(centers, reach), _within(levels.sizes[level] - centers, reach)], dim=1)
    side, row = torch.cat([torch.ones_like(near[:, :1]), near], dim=1).T.nonzero(as_tuple=True)
    order = level[row].argsort(stable=True)
    side, row = side[order], row[order]
    cells = (centers[row] + reach * boxes.new_tensor(SIDES)[side]).long().clamp(min=0)
    x, y = torch.minimum(cells, levels.sizes[level[row]].long() - 1).unbind(1)
    return Matches(level[row], image_index[target[row]], anchor[row], y, x, target[row])


def _within(distance: Tensor, reach: float) -> Tensor:
    """Tell whether a center, `distance` cells from a side of the image, reaches a next cell on that side."""
    return (distance % 1 < reach) & (distance > 1)
