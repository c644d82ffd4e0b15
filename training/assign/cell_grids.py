"""Cells of the maps of heads without anchors, and which of them lie in or near a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Grid(NamedTuple):
    """The cells of one level."""

    height: int
    """Number of rows."""
    width: int
    """Number of columns."""
    stride: int
    """Side of a cell in pixels."""


def make_grids(maps: Sequence[Tensor], strides: Sequence[int]) -> list[Grid]:
    """Return the grids of raw maps (B, _, h, w)."""
    return [Grid(m.shape[2], m.shape[3], stride) for m, stride in zip(maps, strides, strict=True)]


def cell_centers(grids: Sequence[Grid], like: Tensor) -> Tensor:
    """Return the centers (N, 2) of the cells in pixels, ordered by level, y, x."""
    return torch.cat([torch.cartesian_prod(*_axes(grid, like)).flip(1) for grid in grids])


def cell_strides(grids: Sequence[Grid], like: Tensor) -> Tensor:
    """Return the strides (N, 1) of the cells."""
    return torch.cat([like.new_full((grid.height * grid.width, 1), grid.stride) for grid in grids])


def inside_boxes(boxes: Tensor, grids: Sequence[Grid]) -> Tensor:
    """Return a (T, N) mask for boxes (T, 4): cell center strictly inside box."""
    return torch.cat([_inside(boxes[:, :2], boxes[:, 2:], grid) for grid in grids], dim=1)


def near_centers(boxes: Tensor, radius: float, grids: Sequence[Grid]) -> Tensor:
    """Return a (T, N) mask for boxes (T, 4): cell center less than `radius` strides from box center on both axes."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    limits = [radius * grid.stride for grid in grids]
    return torch.cat([_inside(centers - r, centers + r, grid) for r, grid in zip(limits, grids, strict=True)], dim=1)


def _inside(low: Tensor, high: Tensor, grid: Grid) -> Tensor:
    y, x = _axes(grid, low)
    in_x = (x > low[:, :1]) & (x < high[:, :1])
    in_y = (y > low[:, 1:]) & (y < high[:, 1:])
    return (in_y[:, :, None] & in_x[:, None, :]).flatten(1)


def _axes(grid: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the center y (h,) of each row and the center x (w,) of each column."""
    y, x = (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5 for side in grid[:2])
    return y * grid.stride, x * grid.stride
