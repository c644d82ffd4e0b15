"""Task-aligned assignment: the original's, the rule written out, and scenes that no reference has."""

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
from training.assign import base
from training.assign.cell_grids import cell_centers
from training.assign.tal import TAL
from training.batch import Targets
from training.boxes import pairwise_iou


def random_case(objects: int, classes: int, seed: int) -> tuple[Tensor, Tensor, Targets]:
    """Return boxes and class logits of two images, and so many objects in each."""
    g = torch.Generator().manual_seed(seed)
    boxes = boxes_of_distances(torch.rand(2, 525, 4, generator=g) * 4)
    centers, halves = torch.rand(2 * objects, 2, generator=g) * 160, torch.rand(2 * objects, 2, generator=g) * 40
    wanted = torch.cat([centers - halves, centers + halves], 1).clamp(0, 160)
    image = torch.arange(2).repeat_interleave(objects)
    targets = Targets(image, torch.randint(classes, (2 * objects,), generator=g), wanted)
    return boxes, torch.randn(2, 525, classes, generator=g), targets


def written_out(boxes: Tensor, logits: Tensor, wanted: Tensor, class_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Follow the rule for one image; return the owner of each cell, -1 for none, and what its score should be."""
    points, overlaps = cell_centers(GRIDS, boxes), pairwise_iou(wanted, boxes)
    alignment = logits.sigmoid()[:, class_ids].T * overlaps**6
    taken = torch.zeros_like(overlaps, dtype=torch.bool)
    for i, box in enumerate(wanted):
        inside = ((points > box[:2]) & (points < box[2:])).all(1).nonzero()[:, 0]
        taken[i, inside[alignment[i, inside].argsort(descending=True)[:13]]] = True
    owner = torch.where(taken.sum(0) > 1, overlaps.argmax(0), taken.int().argmax(0)).where(taken.any(0), -1)
    scores = torch.zeros(len(points))
    for i in range(len(wanted)):
        mine = (owner == i).nonzero()[:, 0]
        if len(mine):
            scores[mine] = alignment[i, mine] / (alignment[i, mine].max() + 1e-9) * overlaps[i, mine].max()
    return owner, scores


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["basic_nc3", "basic_nc80"])
@pytest.mark.parametrize("kind", ["", "_dfl"])
def test_assignments_are_the_originals(shared: Path, name: str, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "yolov6_loss", name)
    boxes = boxes_of_distances(case.get(f"reg{kind}", dtype))
    found = TAL()(boxes, case.get("cls_logits", dtype), GRIDS, case.targets(dtype))
    assert object_of_cells(found).tolist() == case.arrays[f"tal{kind}__gt_index"].tolist()
    scores = torch.zeros(2, 525, dtype=dtype)
    scores[tuple(case.get(f"tal{kind}__fg", torch.int64).T)] = case.get(f"tal{kind}__fg_score", dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(found.score, scores[found.image, found.row], rtol=tolerance, atol=0)


@pytest.mark.parametrize(("objects", "classes", "seed"), [(1, 1, 0), (6, 3, 1), (60, 2, 2)])
def test_any_scene_is_assigned_as_the_rule_written_out(objects: int, classes: int, seed: int) -> None:
    boxes, logits, targets = random_case(objects, classes, seed)
    found = TAL()(boxes, logits, GRIDS, targets)
    owners, scores = (
        object_of_cells(found),
        torch.zeros(1050).index_put((found.image * 525 + found.row,), found.score).view(2, -1),
    )
    for image in range(2):
        mine = targets.image_index == image
        expected, expected_scores = written_out(
            boxes[image], logits[image], targets.boxes[mine], targets.class_ids[mine]
        )
        first = int((targets.image_index < image).sum())
        assert owners[image].tolist() == (expected + first).where(expected >= 0, -1).tolist()
        torch.testing.assert_close(scores[image], expected_scores, rtol=1e-5, atol=0)


def test_many_rivals_are_taken_in_parts_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(60, 2, 3)
    boxes, logits, targets = case
    whole = TAL()(boxes, logits, GRIDS, targets)
    monkeypatch.setattr(base, "MAX_PAIRS", 100)
    for ours, theirs in zip(TAL()(boxes, logits, GRIDS, targets), whole, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("scene", SCENES)
def test_unusual_scenes_are_assigned(scene: str) -> None:
    targets, predictions = targets_of(SCENES[scene]), square_predictions(images=2)
    found = TAL()(predictions.boxes, predictions.classes, GRIDS, targets)
    assert ((found.image * 525 + found.row).diff() > 0).all()
    assert (found.image == targets.image_index[found.target]).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert bool(len(found.row)) == (scene not in ("no objects", "outside", "tiny", "thin"))  # no center inside


def test_an_object_takes_thirteen_at_most() -> None:
    predictions = square_predictions()
    found = TAL()(predictions.boxes, predictions.classes, GRIDS, targets_of([[0, 0, 0, 0, 160, 160]]))
    assert len(found.row) == 13


def test_an_objects_best_score_is_its_best_overlap() -> None:
    predictions, targets = square_predictions(), targets_of([[0, 0, 40, 40, 100, 110], [0, 0, 110, 10, 150, 60]])
    found = TAL()(predictions.boxes, predictions.classes, GRIDS, targets)
    overlaps = pairwise_iou(targets.boxes, predictions.boxes[0])
    for i in range(2):
        mine = found.target == i
        best = overlaps[i, found.row[mine]].max()
        torch.testing.assert_close(found.score[mine].max(), best, rtol=1e-3, atol=0)
