"""What assigners without anchors share: cells and which of them a box covers, and who gets one that several claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.batch import Targets

PAIRS = 1 << 20  # of an object and a prediction that are looked at in one go: bounds the memory of a crowded batch


class Grid(NamedTuple):
    """The cells of one level: height x width of them, of `stride` pixels a side."""

    height: int
    width: int
    stride: int


class Assignment(NamedTuple):
    """Which predictions learn which objects; all others are background.

    predictions: int64 (P,), rising, each once: image * N + place among the N of an image. objects: int64 (P,), rows
    of the targets. scores: (P,), what the score of the object's class should become.
    """

    predictions: Tensor
    objects: Tensor
    scores: Tensor


def grids_of(maps: Sequence[Tensor], strides: Sequence[int]) -> list[Grid]:
    """Return the grids of raw maps (B, _, h, w)."""
    return [Grid(m.shape[2], m.shape[3], stride) for m, stride in zip(maps, strides, strict=True)]


def take(x: Tensor, predictions: Tensor) -> Tensor:
    """Pick predictions out of (B, N, ...) by their index in the batch; the result is indexed as `predictions` is."""
    return x[predictions // x.shape[1], predictions % x.shape[1]]


def centers_of(grids: Sequence[Grid], like: Tensor) -> Tensor:
    """Return the centers (N, 2) of the cells in pixels: level, y, x."""
    return torch.cat([torch.cartesian_prod(*_centers(grid, like)).flip(1) for grid in grids])


def strides_of(grids: Sequence[Grid], like: Tensor) -> Tensor:
    """Return the strides (N, 1) of the cells."""
    return torch.cat([like.new_full((grid.height * grid.width, 1), grid.stride) for grid in grids])


def covered(boxes: Tensor, grids: Sequence[Grid]) -> Tensor:
    """Say of boxes (T, 4) and cells which (T, N) have their center inside the box, not on its border."""
    return torch.cat([_covered(boxes[:, :2], boxes[:, 2:], grid) for grid in grids], dim=1)


def around(boxes: Tensor, radius: float, grids: Sequence[Grid]) -> Tensor:
    """Say of boxes (T, 4) and cells which (T, N) have centers less than `radius` strides apart, on both axes."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    reaches = [radius * grid.stride for grid in grids]
    return torch.cat([_covered(centers - r, centers + r, g) for r, g in zip(reaches, grids, strict=True)], dim=1)


def _covered(low: Tensor, high: Tensor, grid: Grid) -> Tensor:
    y, x = _centers(grid, low)
    in_x = (x > low[:, :1]) & (x < high[:, :1])
    in_y = (y > low[:, 1:]) & (y < high[:, 1:])
    return (in_y[:, :, None] & in_x[:, None, :]).flatten(1)


def _centers(grid: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return y (h,) of the rows' centers and x (w,) of the columns'."""
    y, x = (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5 for side in grid[:2])
    return y * grid.stride, x * grid.stride


def settle(
    predictions: Tensor,
    objects: Tensor,
    targets: Targets,
    batch: Sequence[int],
    measure: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Give every claimed prediction to one object.

    predictions, objects: int64 (P,), the claims. batch: images, and predictions of each. measure: of objects with
    predictions, index tensors that broadcast. What several objects claim goes to the one of the image whose measure is
    highest, whether it claims it or not. Returns predictions, rising, and their objects.
    """
    images, places = batch
    claims = predictions.bincount(minlength=images * places)
    owner = torch.zeros_like(claims).index_put((predictions,), objects)
    counts = targets.image_index.bincount(minlength=images)
    starts, rivals = counts.cumsum(0) - counts, torch.arange(max(int(counts.max()), 1), device=counts.device)
    for contested in (claims > 1).nonzero()[:, 0].split(max(PAIRS // len(rivals), 1)):
        start, count = (x[contested // places, None] for x in (starts, counts))
        measured = measure((start + rivals).clamp(max=len(targets.boxes) - 1), contested[:, None])
        owner[contested] = start[:, 0] + measured.masked_fill(rivals >= count, -torch.inf).argmax(1)
    claimed = claims.nonzero()[:, 0]
    return claimed, owner[claimed]
