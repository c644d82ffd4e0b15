"""TAL: the original's assignments, a reference implementation, and unusual scenes."""

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
    """Return random boxes and class logits of two images, and `objects` objects in each."""
    g = torch.Generator().manual_seed(seed)
    boxes = boxes_of_distances(torch.rand(2, 525, 4, generator=g) * 4)
    centers, halves = torch.rand(2 * objects, 2, generator=g) * 160, torch.rand(2 * objects, 2, generator=g) * 40
    corners = torch.cat([centers - halves, centers + halves], 1).clamp(0, 160)
    image = torch.arange(2).repeat_interleave(objects)
    targets = Targets(image, torch.randint(classes, (2 * objects,), generator=g), corners)
    return boxes, torch.randn(2, 525, classes, generator=g), targets


def reference_owners(boxes: Tensor, logits: Tensor, objects: Tensor, class_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Apply the rule to one image. Return the owner of each cell, or -1, and its score."""
    points, overlaps = cell_centers(GRIDS, boxes), pairwise_iou(objects, boxes)
    alignment = logits.sigmoid()[:, class_ids].T * overlaps**6
    claimed = torch.zeros_like(overlaps, dtype=torch.bool)
    for i, box in enumerate(objects):
        inside = ((points > box[:2]) & (points < box[2:])).all(1).nonzero()[:, 0]
        claimed[i, inside[alignment[i, inside].argsort(descending=True)[:13]]] = True
    owner = torch.where(claimed.sum(0) > 1, overlaps.argmax(0), claimed.int().argmax(0)).where(claimed.any(0), -1)
    scores = torch.zeros(len(points))
    for i in range(len(objects)):
        in_image = (owner == i).nonzero()[:, 0]
        if len(in_image):
            scores[in_image] = (
                alignment[i, in_image] / (alignment[i, in_image].max() + 1e-9) * overlaps[i, in_image].max()
            )
    return owner, scores


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["basic_nc3", "basic_nc80"])
@pytest.mark.parametrize("kind", ["", "_dfl"])
def test_assignments_match_the_original(shared: Path, name: str, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "yolov6_loss", name)
    boxes = boxes_of_distances(case.get(f"reg{kind}", dtype))
    assigned = TAL()(boxes, case.get("cls_logits", dtype), GRIDS, case.targets(dtype))
    assert object_of_cells(assigned).tolist() == case.arrays[f"tal{kind}__gt_index"].tolist()
    scores = torch.zeros(2, 525, dtype=dtype)
    scores[tuple(case.get(f"tal{kind}__fg", torch.int64).T)] = case.get(f"tal{kind}__fg_score", dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(assigned.score, scores[assigned.image, assigned.row], rtol=tolerance, atol=0)


@pytest.mark.parametrize(("objects", "classes", "seed"), [(1, 1, 0), (6, 3, 1), (60, 2, 2)])
def test_random_scenes_match_the_reference(objects: int, classes: int, seed: int) -> None:
    boxes, logits, targets = random_case(objects, classes, seed)
    assigned = TAL()(boxes, logits, GRIDS, targets)
    owners, scores = (
        object_of_cells(assigned),
        torch.zeros(1050).index_put((assigned.image * 525 + assigned.row,), assigned.score).view(2, -1),
    )
    for image in range(2):
        in_image = targets.image_index == image
        expected, expected_scores = reference_owners(
            boxes[image], logits[image], targets.boxes[in_image], targets.class_ids[in_image]
        )
        first = int((targets.image_index < image).sum())
        assert owners[image].tolist() == (expected + first).where(expected >= 0, -1).tolist()
        torch.testing.assert_close(scores[image], expected_scores, rtol=1e-5, atol=0)


def test_result_does_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, logits, targets = random_case(60, 2, 3)
    expected = TAL()(boxes, logits, GRIDS, targets)
    monkeypatch.setattr(base, "MAX_PAIRS", 100)
    for pair in zip(TAL()(boxes, logits, GRIDS, targets), expected, strict=True):
        assert torch.equal(*pair)


@pytest.mark.parametrize("scene", SCENES)
def test_unusual_scenes(scene: str) -> None:
    targets, predictions = targets_of(SCENES[scene]), square_predictions(images=2)
    assigned = TAL()(predictions.boxes, predictions.classes, GRIDS, targets)
    assert ((assigned.image * 525 + assigned.row).diff() > 0).all()
    assert (assigned.image == targets.image_index[assigned.target]).all()
    assert ((assigned.score >= 0) & (assigned.score <= 1)).all()
    assert bool(len(assigned.row)) == (scene not in ("no objects", "outside", "tiny", "thin"))  # no center inside


def test_object_claims_at_most_13_predictions() -> None:
    predictions = square_predictions()
    assigned = TAL()(predictions.boxes, predictions.classes, GRIDS, targets_of([[0, 0, 0, 0, 160, 160]]))
    assert len(assigned.row) == 13


def test_highest_score_of_an_object_is_its_highest_iou() -> None:
    predictions, targets = square_predictions(), targets_of([[0, 0, 40, 40, 100, 110], [0, 0, 110, 10, 150, 60]])
    assigned = TAL()(predictions.boxes, predictions.classes, GRIDS, targets)
    overlaps = pairwise_iou(targets.boxes, predictions.boxes[0])
    for i in range(2):
        in_image = assigned.target == i
        best = overlaps[i, assigned.row[in_image]].max()
        torch.testing.assert_close(assigned.score[in_image].max(), best, rtol=1e-3, atol=0)
