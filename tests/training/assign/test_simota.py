"""SimOTA: the originals' assignments, a reference implementation, and unusual scenes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_zoo.heads.cells import cell_priors
from tests.training.cell_cases import (
    DTYPES,
    GRIDS,
    SCENES,
    Case,
    object_of_cells,
    square_predictions,
    targets_of,
    within_image,
)
from training.assign import base, simota
from training.assign.cell_grids import cell_centers, cell_strides
from training.assign.simota import FIRST_RELEASES, CellPredictions, SimOTA
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy, pairwise_iou

MMDETECTION = SimOTA(2.5, or_inside=True, penalty=1e5, iou_floor=1e-7)
REFERENCES = [
    ("yolox_loss", "basic_nc3", "l1off__match", SimOTA()),
    ("yolox_loss", "basic_nc80", "l1off__match", SimOTA()),
    ("yolox_loss", "basic_nc3", "r030_l1off__match", FIRST_RELEASES),
    ("yolox_loss", "basic_nc80", "r030_l1off__match", FIRST_RELEASES),
    ("mmdet_yolox_loss", "basic_nc3", "gt_inds", MMDETECTION),
    ("yolov6_loss", "simota_r010_nc3", "match", FIRST_RELEASES),
]
RULES = pytest.mark.parametrize("rule", [SimOTA(), FIRST_RELEASES], ids=["near", "near or inside"])


def predictions_of(case: Case, dtype: torch.dtype) -> CellPredictions:
    if "pred0" in case.arrays:
        maps = [case.get(f"pred{i}", dtype)[:, 0].permute(0, 3, 1, 2) for i in range(3)]
    else:
        maps = [torch.cat([case.get(f"{part}{i}", dtype) for part in ("reg", "obj", "cls")], 1) for i in range(3)]
    rows = torch.cat([m.flatten(2) for m in maps], 2).transpose(1, 2)
    priors = cell_priors(maps, (8, 16, 32)).to(dtype)
    boxes = torch.cat([rows[..., :2] + priors[:, :2], rows[..., 2:4].exp()], 2) * priors[:, 2:]
    return CellPredictions(cxcywh_to_xyxy(boxes), rows[..., 5:], rows[..., 4])


def random_case(objects: int, classes: int, seed: int) -> tuple[CellPredictions, Targets]:
    """Return random predictions of two images, and `objects` objects in each, some of them at the borders."""
    g = torch.Generator().manual_seed(seed)
    centers, strides = cell_centers(GRIDS, torch.zeros(1)), cell_strides(GRIDS, torch.zeros(1))
    sides = torch.exp(torch.randn(2, len(centers), 2, generator=g)) * strides * 2
    shifted = centers + torch.randn(2, len(centers), 2, generator=g) * strides / 2
    logits = torch.randn(2, len(centers), classes + 1, generator=g) - 2
    corners = torch.rand(2 * objects, 2, generator=g) * 176 - 8
    halves = torch.exp(torch.rand(2 * objects, 2, generator=g) * 3 + 0.5)
    boxes = torch.cat([corners - halves, corners + halves], 1).clamp(0, 160)
    image = torch.arange(2).repeat_interleave(objects)
    targets = Targets(image, torch.randint(classes, (2 * objects,), generator=g), boxes)
    predicted = torch.cat([shifted - sides / 2, shifted + sides / 2], 2)
    return CellPredictions(predicted, logits[..., 1:], logits[..., 0]), targets


def reference_owners(
    rule: SimOTA, predictions: CellPredictions, image: int, boxes: Tensor, class_ids: Tensor
) -> Tensor:
    """Apply the rule to one image, object by object, with all classes in the cost. Return each cell's owner or -1."""
    boxes, predicted = boxes.double(), predictions.boxes[image].double()
    scores = predictions.classes[image].double().sigmoid() * predictions.objectness[image].double().sigmoid()[:, None]
    points, strides = cell_centers(GRIDS, boxes), cell_strides(GRIDS, boxes)
    near = torch.stack([((points - (b[:2] + b[2:]) / 2).abs() < rule.radius * strides).all(1) for b in boxes])
    inside = torch.stack([((points > b[:2]) & (points < b[2:])).all(1) for b in boxes])
    eligible, preferred = (near | inside, near & inside) if rule.or_inside else (near, near)
    candidates = eligible.any(0).nonzero()[:, 0]
    overlaps = pairwise_iou(boxes, predicted[candidates])
    one_hot = torch.nn.functional.one_hot(class_ids, scores.shape[1]).double()[:, None].expand(-1, len(candidates), -1)
    probability = scores[candidates].sqrt().expand_as(one_hot)
    costs = torch.nn.functional.binary_cross_entropy(probability, one_hot, reduction="none").sum(2)
    costs = costs - 3 * (overlaps + rule.iou_floor).log() + rule.penalty * ~preferred[:, candidates]
    claimed = torch.zeros_like(costs, dtype=torch.bool)
    for i, row in enumerate(costs):
        count = max(int(overlaps[i].sort(descending=True).values[:10].sum()), 1)
        claimed[i, row.argsort()[:count]] = True
    owners = torch.where(claimed.sum(0) > 1, costs.argmin(0), claimed.int().argmax(0))
    table = torch.full((len(points),), -1)
    table[candidates[claimed.any(0)]] = owners[claimed.any(0)]
    return table


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("folder", "name", "key", "rule"), REFERENCES)
def test_assignments_match_the_originals(
    shared: Path, folder: str, name: str, key: str, rule: SimOTA, dtype: torch.dtype
) -> None:
    case = Case(shared, folder, name)
    targets = case.targets(dtype)
    assigned = rule(predictions_of(case, dtype), GRIDS, targets)
    expected = case.arrays[key] - (key == "gt_inds")  # MMDetection counts from 1
    assert within_image(object_of_cells(assigned), targets).tolist() == expected.tolist()
    if f"{key}_iou" in case.arrays:
        overlaps = case.get(f"{key}_iou", dtype)[assigned.image, assigned.row]
        torch.testing.assert_close(assigned.score, overlaps, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)


@RULES
@pytest.mark.parametrize(("objects", "classes", "seed"), [(1, 1, 0), (6, 3, 1), (40, 5, 2), (120, 1, 3)])
def test_random_scenes_match_the_reference(rule: SimOTA, objects: int, classes: int, seed: int) -> None:
    predictions, targets = random_case(objects, classes, seed)
    assigned = within_image(object_of_cells(rule(predictions, GRIDS, targets)), targets)
    for image in range(2):
        in_image = targets.image_index == image
        expected = reference_owners(rule, predictions, image, targets.boxes[in_image], targets.class_ids[in_image])
        assert assigned[image].tolist() == expected.tolist()


@RULES
def test_result_does_not_depend_on_the_chunk_size(rule: SimOTA, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, targets = random_case(50, 2, 4)
    expected = rule(predictions, GRIDS, targets)
    monkeypatch.setattr(simota, "MAX_PAIRS", 1000)
    monkeypatch.setattr(base, "MAX_PAIRS", 100)
    for pair in zip(rule(predictions, GRIDS, targets), expected, strict=True):
        assert torch.equal(*pair)


@RULES
@pytest.mark.parametrize("scene", SCENES)
def test_unusual_scenes(rule: SimOTA, scene: str) -> None:
    targets = targets_of(SCENES[scene])
    assigned = rule(square_predictions(images=2), GRIDS, targets)
    assert ((assigned.image * 525 + assigned.row).diff() > 0).all()
    assert (assigned.image == targets.image_index[assigned.target]).all()
    assert bool(len(assigned.row)) == (scene not in ("no objects", "outside"))


def test_number_of_predictions_is_the_sum_of_the_highest_ious() -> None:
    targets = targets_of([[0, 0, 60, 60, 100, 100]])  # equal to a prediction of stride 8 but for a shift of 4
    predictions = square_predictions()
    own = pairwise_iou(targets.boxes, predictions.boxes[0])[0]
    near = ((cell_centers(GRIDS, own) - 80).abs() < 1.5 * cell_strides(GRIDS, own)).all(1)
    count = int(own[near].sort(descending=True).values[:10].sum())
    assert count > 1
    assert len(SimOTA()(predictions, GRIDS, targets).row) == count


def test_penalized_candidates_are_ranked_by_cost() -> None:
    """In float32, 1e6 + 3.00 and 1e6 + 3.02 are one number."""
    targets = targets_of([[0, 0, -14, -14, -6, -6], [0, 0, 0, 0, 160, 160]])
    predictions = square_predictions()
    predictions.boxes[0] = targets.boxes[0]  # the first object claims ten cells but is near only two
    points, strides = cell_centers(GRIDS, predictions.boxes), cell_strides(GRIDS, predictions.boxes)
    penalized = ((points - 80).abs() < 1.5 * strides).all(1).nonzero()[:, 0]  # near the second object
    predictions.classes[0, penalized, 0] = torch.linspace(1, 0.9, len(penalized))
    owners = object_of_cells(SimOTA()(predictions, GRIDS, targets), images=1)[0, penalized].tolist()
    assert owners == [1] + [0] * 7 + [-1] * (len(penalized) - 8)  # the second object has a lower cost for the cheapest
