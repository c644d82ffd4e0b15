"""ATSS: the original's assignments, a reference implementation, and unusual scenes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.cell_cases import (
    DTYPES,
    GRIDS,
    SCENES,
    Case,
    boxes_of_distances,
    object_of_cells,
    square_predictions,
    targets_of,
)
from training.assign.atss import ATSS
from training.assign.cell_grids import Grid, cell_centers
from training.batch import Targets
from training.boxes import iou, pairwise_iou


def reference_owners(objects: Tensor) -> Tensor:
    """Apply the rule to one image. Return the owner of each cell, or -1."""
    points, anchors = cell_centers(GRIDS, objects), square_predictions().boxes[0]
    overlaps = pairwise_iou(objects, anchors)
    claimed = torch.zeros_like(overlaps, dtype=torch.bool)
    for i, box in enumerate(objects):
        candidates = []
        for level in torch.arange(525).split([400, 100, 25]):
            distances = (points[level] - (box[:2] + box[2:]) / 2).square().sum(1)
            candidates += level[distances.argsort()[:9]].tolist()
        threshold = overlaps[i, candidates].mean() + overlaps[i, candidates].std()
        for cell in candidates:
            inside = bool(((points[cell] > box[:2]) & (points[cell] < box[2:])).all())
            claimed[i, cell] = inside and bool(overlaps[i, cell] > threshold)
    return torch.where(claimed.sum(0) > 1, overlaps.argmax(0), claimed.int().argmax(0)).where(claimed.any(0), -1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kind"), [("basic_nc3", ""), ("basic_nc3", "_dfl"), ("basic_nc80", "")])
def test_assignments_match_the_original(shared: Path, name: str, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "yolov6_loss", name)
    assigned = ATSS()(boxes_of_distances(case.get(f"reg{kind}", dtype)), GRIDS, case.targets(dtype))
    assert object_of_cells(assigned).tolist() == case.arrays[f"atss{kind}__gt_index"].tolist()
    scores = torch.zeros(2, 525, dtype=dtype)
    scores[tuple(case.get(f"atss{kind}__fg", torch.int64).T)] = case.get(f"atss{kind}__fg_score", dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(assigned.score, scores[assigned.image, assigned.row], rtol=tolerance, atol=0)


@pytest.mark.parametrize(("objects", "seed"), [(1, 0), (6, 1), (60, 2)])
def test_random_scenes_match_the_reference(objects: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    centers, halves = torch.rand(objects, 2, generator=g) * 160, torch.rand(objects, 2, generator=g) * 40 + 2
    targets = Targets(
        torch.zeros(objects).long(), torch.zeros(objects).long(), torch.cat([centers - halves, centers + halves], 1)
    )
    boxes = boxes_of_distances(torch.rand(1, 525, 4, generator=g) * 4)
    assigned = ATSS()(boxes, GRIDS, targets)
    assert object_of_cells(assigned, images=1)[0].tolist() == reference_owners(targets.boxes).tolist()
    torch.testing.assert_close(assigned.score, iou(boxes[0, assigned.row], targets.boxes[assigned.target]))


@pytest.mark.parametrize("scene", SCENES)
def test_unusual_scenes(scene: str) -> None:
    targets = targets_of(SCENES[scene])
    assigned = ATSS()(square_predictions(images=2).boxes, GRIDS, targets)
    assert ((assigned.image * 525 + assigned.row).diff() > 0).all()
    assert (assigned.image == targets.image_index[assigned.target]).all()
    assert bool(len(assigned.row)) == (scene not in ("no objects", "outside", "tiny", "thin"))  # no center inside


def test_small_levels_contribute_all_cells() -> None:
    grids = [Grid(8, 8, 8), Grid(4, 4, 16), Grid(2, 2, 32)]
    boxes = square_predictions().boxes[:, : 64 + 16 + 4]
    assigned = ATSS()(boxes, grids, targets_of([[0, 0, 12, 12, 52, 52]]))
    assert len(assigned.row)
