"""Reference cases and hand-made scenes for assigners and criteria without anchors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.assign.base import ScoredAssignment
from training.assign.cell_grids import Grid, cell_centers, cell_strides
from training.assign.simota import CellPredictions
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext

SIZE = 160
GRIDS = [Grid(20, 20, 8), Grid(10, 10, 16), Grid(5, 5, 32)]
DTYPES = [torch.float32, torch.float64]
SCENES = {  # image, class, box of objects on a canvas of 160 x 160, in two images
    "no objects": [],
    "an image without objects": [[1, 0, 20, 30, 90, 100]],
    "one object": [[0, 0, 40, 40, 72, 72], [1, 0, 8, 8, 152, 152]],
    "borders": [[0, 0, 0, 0, 5, 5], [0, 0, 150, 150, 160, 160], [1, 0, -8, 40, 10, 80], [1, 0, 0, 0, 160, 160]],
    "tiny": [[0, 0, 10, 10, 10.5, 10.5], [1, 0, 33, 33, 33, 33]],
    "thin": [[0, 0, 0, 60, 160, 61], [1, 0, 70, 0, 70.25, 160]],
    "outside": [[0, 0, 300, 300, 320, 320], [1, 0, -500, -500, -400, -400]],
    "same place": [[0, 0, 40, 40, 100, 100]] * 3 + [[1, 0, 40, 40, 100, 100]] * 30,
    "crowded": [[i // 100, 0, i % 10 * 15, i % 100 // 10 * 15, i % 10 * 15 + 25, 150] for i in range(200)],
}


class Case:
    """A reference case: inputs and outputs of the original program."""

    def __init__(self, shared: Path, folder: str, name: str) -> None:
        with np.load(shared / "parity/training" / folder / f"{name}.npz") as file:
            self.arrays = dict(file)

    def get(self, name: str, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(self.arrays[name]).to(dtype)

    def targets(self, dtype: torch.dtype) -> Targets:
        rows = self.get("targets", dtype)
        centers, halves = rows[:, 2:4] * SIZE, rows[:, 4:] * (SIZE / 2)
        return Targets(rows[:, 0].long(), rows[:, 1].long(), torch.cat([centers - halves, centers + halves], dim=1))


def targets_of(rows: Sequence[Sequence[float]]) -> Targets:
    """Return the targets of rows (image, class, x1, y1, x2, y2)."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Targets(table[:, 0].long(), table[:, 1].long(), table[:, 2:])


def object_of_cells(assigned: ScoredAssignment, images: int = 2, cells: int = 525) -> Tensor:
    """Return the object (images, cells) of every cell, or -1."""
    return torch.full((images, cells), -1).index_put((assigned.image, assigned.row), assigned.target)


def within_image(table: Tensor, targets: Targets) -> Tensor:
    """Convert object indices (images, cells) to indices within the image."""
    counts = targets.image_index.bincount(minlength=len(table))
    return torch.where(table < 0, table, table - (counts.cumsum(0) - counts)[:, None])


def square_predictions(images: int = 1, classes: int = 1, side: float = 5.0) -> CellPredictions:
    """Return predictions of a square of `side` strides around the center of every cell, with all logits 0."""
    like = torch.zeros(1)
    centers, halves = cell_centers(GRIDS, like), cell_strides(GRIDS, like) * (side / 2)
    boxes = torch.cat([centers - halves, centers + halves], dim=1).repeat(images, 1, 1)
    return CellPredictions(boxes, torch.zeros(*boxes.shape[:2], classes), torch.zeros(boxes.shape[:2]))


def boxes_of_distances(raw: Tensor) -> Tensor:
    """Return the boxes (B, N, 4) of distances (B, N, 4) in cells, or of logits (B, N, 4 * 17) of distributions."""
    if raw.shape[2] > 4:
        raw = (raw.unflatten(2, (4, 17)).softmax(3) * torch.arange(17)).sum(3)
    centers, strides = cell_centers(GRIDS, raw), cell_strides(GRIDS, raw)
    return torch.cat([centers - raw[..., :2] * strides, centers + raw[..., 2:] * strides], dim=2)


def random_maps(numbers: int, images: int = 2, seed: int = 0) -> list[Tensor]:
    """Return raw maps of three levels with gradients."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(images, numbers, g.height, g.width, generator=generator).requires_grad_() for g in GRIDS]


def run_criterion(
    criterion: Criterion, maps: Sequence[Tensor], targets: Targets, context: StepContext | None = None
) -> Losses:
    """Run a criterion forward and backward. Losses and gradients must be finite, and the parts sum to the total."""
    losses = criterion(maps, targets, context or StepContext())
    losses.total.backward()
    assert torch.isfinite(losses.total)
    torch.testing.assert_close(torch.stack(list(losses.parts.values())).sum(), losses.total.detach())
    assert all(m.grad is not None and bool(torch.isfinite(m.grad).all()) for m in maps)
    return losses


def relative(actual: Tensor, reference: np.ndarray) -> float:
    """Return the largest difference relative to the largest number of the reference."""
    difference = np.abs(actual.detach().double().numpy() - reference).max()
    return float(difference / max(np.abs(reference).max(), 1e-30))
