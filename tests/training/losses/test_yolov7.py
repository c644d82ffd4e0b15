from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_zoo.families import yolov7, yolov7_p6
from model_zoo.families.yolov5 import P5_ANCHORS
from tests.training.losses.anchor_cases import PARTS, Case, bare_detector, finite, overfit, scene
from training.assign import ota
from training.assign.base import AnchorAssignment
from training.batch import Targets
from training.boxes import pairwise_iou
from training.losses.criterion import StepContext
from training.losses.yolov5 import Gains, YOLOv5Criterion
from training.losses.yolov7 import YOLOv7Criterion
from training.recipes import recipe_of

GAINS = Gains(classes=0.3, objectness=0.7)
KINDS = [
    ("basic_nc3", "ota", 10),
    ("basic_nc3", "aux", 20),
    ("basic_nc3", "auxlead10", 10),
    ("basic_nc80", "ota", 10),
    ("basic_nc80", "aux", 20),
]
TOLERANCES = [(torch.float32, 2e-6, 3e-6), (torch.float64, 1e-6, 3e-6)]


@pytest.mark.parametrize(("dtype", "rtol", "grad_tol"), TOLERANCES)
@pytest.mark.parametrize(("name", "kind", "lead_top_k"), KINDS)
def test_losses_and_gradients_are_the_original_ones(shared, name, kind, lead_top_k, dtype, rtol, grad_tol):
    case = Case(shared, "yolov7", name)
    maps = case.maps(dtype, auxiliary=kind != "ota")
    losses = YOLOv7Criterion(case.detector, GAINS, lead_top_k)(maps, case.targets(dtype), StepContext())
    case.check(kind, losses, maps, rtol, grad_tol)


@pytest.mark.parametrize(("dtype", "rtol", "grad_tol"), TOLERANCES)
def test_without_its_assigner_it_is_yolov5s_criterion(shared, dtype, rtol, grad_tol):
    case = Case(shared, "yolov7", "basic_nc3")
    maps = case.maps(dtype)
    case.check(
        "plain", YOLOv5Criterion(case.detector, GAINS)(maps, case.targets(dtype), StepContext()), maps, rtol, grad_tol
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "kind", "lead_top_k"), KINDS)
def test_matches_are_the_original_ones_in_its_order(shared, name, kind, lead_top_k, dtype):
    case = Case(shared, "yolov7", name)
    criterion = YOLOv7Criterion(case.detector, GAINS, lead_top_k)
    heads = {"match": (0.5, lead_top_k), **({"matchaux": (1.0, 20)} if kind != "ota" else {})}
    for key, (offset, top) in heads.items():
        matches = criterion.assign(case.maps(dtype), case.targets(dtype), offset, top)
        for i in range(3):
            rows = torch.stack(matches.pick(matches.level == i)[1:], dim=1)
            assert rows.tolist() == case.arrays[f"{kind}__{key}{i}"].tolist()


def plain_ota(boxes: Tensor, raw: Tensor, objects: Tensor, class_ids: Tensor, top: int) -> list[int]:
    """The rule for one image, object by object and class by class: which object each candidate learns, -1 for none."""
    overlap = pairwise_iou(objects, boxes)
    score = (raw[:, 1:].sigmoid() * raw[:, :1].sigmoid()).sqrt()
    cost = torch.empty_like(overlap)
    for g, class_id in enumerate(class_ids.tolist()):
        wanted = torch.zeros_like(score)
        wanted[:, class_id] = 1
        errors = -(wanted * score.log() + (1 - wanted) * (1 - score).log()).sum(1)
        cost[g] = errors - 3 * (overlap[g] + 1e-8).log()
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    for g in range(len(objects)):
        best = overlap[g].topk(min(top, overlap.shape[1])).values
        chosen[g, cost[g].topk(max(1, int(best.sum())), largest=False).indices] = True
    owners = []
    for r in range(cost.shape[1]):
        claims = int(chosen[:, r].sum())
        owners.append(-1 if claims == 0 else int((chosen if claims == 1 else -cost)[:, r].to(cost).argmax()))
    return owners


@pytest.mark.parametrize("objects", [[3], [12, 0, 1, 7], [60, 40]])
@pytest.mark.parametrize("pairs", [2_000_000, 1000])
def test_matches_follow_the_rule_in_a_crowd(monkeypatch, objects, pairs):
    monkeypatch.setattr(ota, "PAIRS_AT_ONCE", pairs)
    maps, targets = scene(objects, seed=3)
    maps = [m.detach().double() for m in maps]
    targets = targets._replace(boxes=targets.boxes.double())
    criterion = YOLOv7Criterion(bare_detector(3), GAINS)
    calls = []
    monkeypatch.setattr("training.losses.yolov7.ota_matches", lambda *a: calls.append(a) or ota.ota_matches(*a))
    matches = criterion.assign(maps, targets, 0.5, 10)
    candidates, boxes, raw, *_ = calls[0]
    expected = torch.full_like(candidates.target, -1)
    for image in range(len(objects)):
        rows = (candidates.image == image).nonzero()[:, 0]
        mine = (targets.image_index == image).nonzero()[:, 0]
        if len(mine) and len(rows):
            owners = plain_ota(boxes[rows], raw[rows], targets.boxes[mine], targets.class_ids[mine], 10)
            expected[rows] = torch.tensor([mine[g] if g >= 0 else -1 for g in owners])
    kept = candidates._replace(target=expected).pick(expected >= 0)
    assert sorted(zip(*(c.tolist() for c in matches), strict=True)) == sorted(
        zip(*(c.tolist() for c in kept), strict=True)
    )


def test_certain_predictions_cost_something_finite():
    raw = torch.tensor([[60.0, 200.0, -200.0], [-300.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    candidates = ota.Candidates.of(torch.zeros(3, 4), raw)
    cost = candidates.background[:, None] - candidates.odds
    assert bool(torch.isfinite(cost).all())
    assert cost[0, 0] < 100 < cost[0, 1]
    torch.testing.assert_close(cost[2], torch.full((2,), 2 * torch.tensor(2.0).log().item()))


def test_a_candidate_wanted_by_two_goes_where_it_is_cheaper():
    column = torch.zeros(1, dtype=torch.int64)
    candidate = AnchorAssignment(*(column for _ in range(6)))
    targets = Targets(torch.zeros(2).long(), torch.tensor([0, 0]), torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 20]]))
    matches = ota.ota_matches(candidate, torch.tensor([[0.0, 0, 20, 19]]), torch.zeros(1, 2), targets, 10)
    assert matches.target.tolist() == [1]


def test_one_object_twice_is_learned_once_per_candidate():
    maps, targets = scene([1])
    twice = Targets(*(part.repeat_interleave(2, dim=0) for part in targets))
    matches = YOLOv7Criterion(bare_detector(3)).matches(maps, twice, 0.5, 10)
    assert set(matches.target.tolist()) <= {0, 1}
    finite(YOLOv7Criterion(bare_detector(3)), maps, twice)


@pytest.mark.parametrize("objects", [[0, 0], [0, 4, 0], [100, 100], [1]])
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("heads", [1, 2])
def test_any_number_of_objects_has_finite_losses(objects, num_classes, heads):
    maps, targets = scene(objects, num_classes, auxiliary=heads)
    losses = finite(YOLOv7Criterion(bare_detector(num_classes)), maps, targets)
    assert list(losses.parts) == [prefix + name for prefix in ("", "aux_")[:heads] for name in PARTS]


@pytest.mark.parametrize(
    "box", [[50, 50, 50, 50], [50, 50, 50.01, 50.01], [10, 50, 150, 51], [0, 0, 160, 160], [159, 0, 160, 1]]
)
def test_points_hairs_and_whole_images_have_finite_losses(box):
    maps, _ = scene([1])
    target = Targets(torch.tensor([0]), torch.tensor([2]), torch.tensor([box]) * 1.0)
    finite(YOLOv7Criterion(bare_detector(3)), maps, target)


def test_an_oblong_image_is_measured_in_its_own_pixels():
    """An object at the right end of a wide image goes to the predictions there that fit it."""
    maps, _ = scene([1], size=(64, 320))
    target = Targets(torch.tensor([0]), torch.tensor([0]), torch.tensor([[280.0, 20, 310, 50]]))
    matches = YOLOv7Criterion(bare_detector(3)).matches(maps, target, 0.5, 10)
    assert len(matches.x) > 0
    assert bool(((matches.x + 2) * torch.tensor([8, 16, 32])[matches.level] > 280).all())


def test_without_auxiliary_maps_the_lead_learns_alone():
    maps, targets = scene([5, 3], auxiliary=2)
    criterion = YOLOv7Criterion(bare_detector(3))
    both, lead = criterion(maps, targets, StepContext()).parts, criterion(maps[:3], targets, StepContext()).parts
    assert lead == {name: both[name] for name in PARTS}


def test_every_variant_has_a_recipe():
    finals = {variant: recipe_of(variant).schedule.final for variant in (*yolov7.VARIANTS, *yolov7_p6.VARIANTS)}
    assert finals == {
        "yolov7-tiny": 0.01,
        **dict.fromkeys(("yolov7", "yolov7x", "yolov7-test"), 0.1),
        **dict.fromkeys(yolov7_p6.VARIANTS, 0.2),
    }
    assert recipe_of("yolov7-tiny").criterion(bare_detector(3)).lead.gains == Gains()
    assert recipe_of("yolov7").criterion(bare_detector(3, P5_ANCHORS)).lead_top_k == 10
    p6 = recipe_of("yolov7-e6")
    assert (p6.schedule.kind, p6.reduction, p6.augmentation.mixup, p6.augmentation.scale) == (
        "cosine",
        "sum",
        0.15,
        (0.1, 2.0),
    )


def test_an_image_is_learned_by_heart():
    overfit("yolov7-test", recipe_of("yolov7-test"), size=64, steps=160, lr=0.01)


def test_an_image_is_learned_by_heart_with_auxiliary_heads():
    overfit("yolov7-p6-test", recipe_of("yolov7-p6-test"), size=128, steps=140, lr=0.02)
