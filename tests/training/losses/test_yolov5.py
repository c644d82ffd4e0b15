"""The criterion of YOLOv5: the original's losses and gradients, and special cases."""

from __future__ import annotations

import pytest
import torch

from model_zoo.families.yolov5 import P6_ANCHORS, VARIANTS
from tests.training.losses.anchor_cases import Case, assert_close, check_finite, head_only_detector, overfit, scene
from training.assign.base import AnchorAssignment, as_convolved, gather
from training.batch import Targets
from training.losses import yolov5
from training.losses.criterion import StepContext
from training.losses.yolov5 import Gains, YOLOv5Criterion
from training.recipes import recipe_of

KINDS = {
    "low": Gains(),
    "med_high": Gains(classes=0.3, objectness=0.7),
    "low_smooth0.1": Gains(smoothing=0.1),
    "low_focal1.5": Gains(focal=1.5),
    "low_autobalance": Gains(autobalance=True),
    "low_pw2": Gains(positive_classes=2.0, positive_objectness=1.5),
}
CASES = [("basic_nc3", kind) for kind in KINDS] + [("basic_nc80", "low"), ("basic_nc80", "med_high")]


@pytest.mark.parametrize(("dtype", "rtol", "grad_tol"), [(torch.float32, 1e-6, 2e-6), (torch.float64, 2e-7, 2e-6)])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_losses_and_gradients_match_the_original(shared, name, kind, dtype, rtol, grad_tol):
    case = Case(shared, "yolov5", name)
    maps = case.maps(dtype)
    criterion = YOLOv5Criterion(case.detector, KINDS[kind])
    case.check(kind, criterion(maps, case.targets(dtype), StepContext()), maps, rtol, grad_tol)
    if kind == "low_autobalance":
        assert_close(criterion.losses.balance, case.arrays[f"{kind}__balance_after"], 1e-8)


@pytest.mark.parametrize("objects", [[0, 0], [4, 0], [100, 100], [1]])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_losses_are_finite_for_any_number_of_objects(objects, num_classes):
    maps, targets = scene(objects, num_classes)
    losses = check_finite(YOLOv5Criterion(head_only_detector(num_classes)), maps, targets)
    assert (losses.parts["box"] > 0) == (sum(objects) > 0)
    assert (losses.parts["classes"] > 0) == (sum(objects) > 0 and num_classes > 1)


@pytest.mark.parametrize(
    "box", [[50, 50, 50, 50], [50, 50, 50.01, 50.01], [10, 50, 150, 51], [0, 0, 160, 160], [159, 0, 160, 1]]
)
def test_losses_of_degenerate_boxes_are_finite(box):
    maps, _ = scene([1])
    check_finite(
        YOLOv5Criterion(head_only_detector(3)),
        maps,
        Targets(torch.tensor([0]), torch.tensor([2]), torch.tensor([box]) * 1.0),
    )


def test_last_object_of_a_prediction_defines_its_objectness():
    maps, _ = scene([1])
    near, far = [52.5, 50.0, 72.5, 75.0], [53.0, 52.0, 71.0, 74.0]
    losses = {}
    for name, boxes in {"near": [near], "far": [far], "both": [near, far], "reversed": [far, near]}.items():
        n = len(boxes)
        targets = Targets(torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.int64), torch.tensor(boxes))
        losses[name] = YOLOv5Criterion(head_only_detector(3))(maps, targets, StepContext()).parts["objectness"]
    torch.testing.assert_close(losses["both"], losses["far"])
    torch.testing.assert_close(losses["reversed"], losses["near"])
    assert losses["near"] != losses["far"]


def test_objectness_weight_grows_with_the_square_of_the_longer_side():
    maps, _ = scene([0], size=(64, 160))
    other, _ = scene([0], size=(64, 320))
    none = Targets(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, 4))
    flat = [torch.zeros_like(m) for m in maps], [torch.zeros_like(m) for m in other]
    small, large = (YOLOv5Criterion(head_only_detector(3))(m, none, StepContext()).total for m in flat)
    torch.testing.assert_close(large, 4 * small)


def test_balance_of_four_levels():
    criterion = YOLOv5Criterion(head_only_detector(3, P6_ANCHORS))
    maps = [torch.zeros(2, 3, 320 // s, 320 // s, 8) for s in (8, 16, 32, 64)]
    none = Targets(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, 4))
    expected = 2 * 3 / 4 * (320 / 640) ** 2 * (4 + 1 + 0.25 + 0.06) * torch.tensor(2.0).log()
    torch.testing.assert_close(criterion(maps, none, StepContext()).total, expected)


def test_two_ranks_have_the_gradients_of_one(monkeypatch):
    """Average the gradients of both ranks and multiply by two, as the trainer does for a sum."""
    maps, targets = scene([6, 0, 3, 5])
    criterion = YOLOv5Criterion(head_only_detector(3))
    criterion(maps, targets, StepContext()).total.backward()
    halves = []
    for first in (0, 2):
        in_half = (targets.image_index >= first) & (targets.image_index < first + 2)
        part = Targets(targets.image_index[in_half] - first, targets.class_ids[in_half], targets.boxes[in_half])
        halves.append(([m.detach()[first : first + 2].requires_grad_() for m in maps], part))
    counts = []
    monkeypatch.setattr(yolov5, "average_over_ranks", lambda value: counts.append(value) or value)
    for half in halves:
        criterion(*half, StepContext())
    monkeypatch.setattr(yolov5, "average_over_ranks", lambda value: (counts[0] + counts[1]) / 2)
    for half in halves:
        criterion(*half, StepContext()).total.backward()
    for level, m in enumerate(maps):
        torch.testing.assert_close(torch.cat([half[0][level].grad for half in halves]), m.grad)


def test_fitted_anchors_of_the_detector_are_used():
    detector = head_only_detector(3)
    detector.head.anchors.mul_(2)
    maps, targets = scene([5])
    moved = YOLOv5Criterion(detector)(maps, targets, StepContext()).total
    assert moved != YOLOv5Criterion(head_only_detector(3))(maps, targets, StepContext()).total


def test_gather_reads_the_assigned_predictions():
    maps, _ = scene([1, 1])
    columns = [[0, 0, 2], [1, 0, 1], [2, 0, 1], [19, 0, 3], [4, 0, 0], [0, 0, 0]]
    assigned = AnchorAssignment(*(torch.tensor(column) for column in columns))
    expected = torch.stack([maps[0][1, 2, 19, 4], maps[0][0, 0, 0, 0], maps[2][1, 1, 3, 0]])
    torch.testing.assert_close(gather([as_convolved(m) for m in maps], assigned), expected, rtol=0, atol=0)


def test_recipes_of_all_variants():
    small = {v for v in VARIANTS if recipe_of(v).schedule.final == 0.01}
    assert small == {"yolov5n", "yolov5s", "yolov5n6", "yolov5s6", "yolov5s-focus", "yolov5-test"}
    high = recipe_of("yolov5l")
    assert (high.augmentation.scale, high.augmentation.mixup, high.schedule.final) == ((0.1, 1.9), 0.1, 0.1)
    assert high.reduction == "sum"
    assert high.criterion(head_only_detector(3)).losses.gains == Gains(classes=0.3, objectness=0.7)


def test_network_overfits_one_image():
    overfit("yolov5-test", recipe_of("yolov5-test"), size=64, steps=100, lr=0.01)
