"""Functions that the heads share: cells of raw maps, and corners of decoded boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cell_priors(maps: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """Return (N, 3) for maps (B, _, h, w): cell x, cell y, stride."""
    sizes = zip(maps, strides, strict=True)
    return torch.cat([level_cells(m.shape[2], m.shape[3], stride, m.device) for m, stride in sizes])


def level_cells(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Return (height * width, 3) for one level: cell x, cell y, stride, in float32 whatever the network computes in."""
    y = torch.arange(height, dtype=torch.float32, device=device)
    x = torch.arange(width, dtype=torch.float32, device=device)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y, torch.full_like(grid_x, stride)], dim=-1).flatten(0, 1)


def corners(centers: Tensor, sizes: Tensor) -> Tensor:
    """Return boxes xyxy (..., 4) of centers (..., 2) and sizes (..., 2)."""
    return torch.cat([centers - sizes / 2, centers + sizes / 2], dim=-1)
