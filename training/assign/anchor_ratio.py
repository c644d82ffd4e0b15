"""YOLOv5's assigner: an anchor learns all objects of similar width and height, in the cells nearest to their center.

There is no paper. An object may be learned by several anchors of several levels, and by up to three cells of each.
These are its own cell and the neighbors whose border is less than half a cell from the center. Entries keep the order
of the original: level, cell (own, left, upper, right, lower), anchor, object. If several entries share a prediction,
its objectness learns the last one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.assign.base import AnchorAssignment, AnchorLevels

DIRECTIONS = ((0.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0))  # own cell, left, upper, right, lower


@torch.no_grad()
def assign_by_ratio(
    boxes: Tensor, image_index: Tensor, levels: AnchorLevels, *, max_ratio: float = 4.0, offset: float = 0.5
) -> AnchorAssignment:
    """Assign objects to anchors whose width and height differ by a factor below `max_ratio`.

    A center on or beyond the border of the image counts for the nearest cell. A center on the line between two cells
    gives its own cell twice, as in the original.

    Args:
        boxes: Boxes (T, 4), xyxy in pixels.
        image_index: Image of each box, (T,).
        levels: Grids and anchors of the head.
        max_ratio: Limit of the ratio of sides.
        offset: Distance in cells within which a center also counts for the neighboring cell. 0.5 gives two of the four
            neighbors, 1 all (YOLOv7's auxiliary heads).
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    ratio = sides / levels.anchors[:, :, None]  # (L, A, T, 2)
    level, anchor, target = (torch.maximum(ratio, 1 / ratio).amax(-1) < max_ratio).nonzero(as_tuple=True)
    centers = (boxes[:, :2] + boxes[:, 2:])[target] / 2 / levels.strides[level, None]
    near = torch.cat([_near(centers, offset), _near(levels.sizes[level] - centers, offset)], dim=1)
    direction, index = torch.cat([torch.ones_like(near[:, :1]), near], dim=1).T.nonzero(as_tuple=True)
    order = level[index].argsort(stable=True)
    direction, index = direction[order], index[order]
    cells = (centers[index] + offset * boxes.new_tensor(DIRECTIONS)[direction]).long().clamp(min=0)
    x, y = torch.minimum(cells, levels.sizes[level[index]].long() - 1).unbind(1)
    return AnchorAssignment(level[index], image_index[target[index]], anchor[index], y, x, target[index])


def _near(distance: Tensor, offset: float) -> Tensor:
    """Return whether a center at `distance` cells from a side of the image counts for the next cell on that side."""
    return (distance % 1 < offset) & (distance > 1)
