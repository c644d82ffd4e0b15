"""The criterion of YOLOv7: the original's losses and gradients, and auxiliary heads."""

from __future__ import annotations

import pytest
import torch

from model_zoo.families import yolov7, yolov7_p6
from model_zoo.families.yolov5 import P5_ANCHORS
from tests.training.losses.anchor_cases import (
    PARTS,
    YOLOV7_GAINS,
    YOLOV7_KINDS,
    Case,
    check_finite,
    head_only_detector,
    overfit,
    scene,
)
from training.batch import Targets
from training.losses.criterion import StepContext
from training.losses.yolov5 import Gains, YOLOv5Criterion
from training.losses.yolov7 import YOLOv7Criterion
from training.recipes import recipe_of

TOLERANCES = [(torch.float32, 2e-6, 3e-6), (torch.float64, 1e-6, 3e-6)]


@pytest.mark.parametrize(("dtype", "rtol", "grad_tol"), TOLERANCES)
@pytest.mark.parametrize(("name", "kind", "lead_top_k"), YOLOV7_KINDS)
def test_losses_and_gradients_match_the_original(shared, name, kind, lead_top_k, dtype, rtol, grad_tol):
    case = Case(shared, "yolov7", name)
    maps = case.maps(dtype, auxiliary=kind != "ota")
    losses = YOLOv7Criterion(case.detector, YOLOV7_GAINS, lead_top_k)(maps, case.targets(dtype), StepContext())
    case.check(kind, losses, maps, rtol, grad_tol)


@pytest.mark.parametrize(("dtype", "rtol", "grad_tol"), TOLERANCES)
def test_yolov5_criterion_matches_the_original_without_ota(shared, dtype, rtol, grad_tol):
    case = Case(shared, "yolov7", "basic_nc3")
    maps = case.maps(dtype)
    case.check(
        "plain",
        YOLOv5Criterion(case.detector, YOLOV7_GAINS)(maps, case.targets(dtype), StepContext()),
        maps,
        rtol,
        grad_tol,
    )


@pytest.mark.parametrize("objects", [[0, 0], [0, 4, 0], [100, 100], [1]])
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("heads", [1, 2])
def test_losses_are_finite_for_any_number_of_objects(objects, num_classes, heads):
    maps, targets = scene(objects, num_classes, auxiliary=heads)
    losses = check_finite(YOLOv7Criterion(head_only_detector(num_classes)), maps, targets)
    assert list(losses.parts) == [prefix + name for prefix in ("", "aux_")[:heads] for name in PARTS]


@pytest.mark.parametrize(
    "box", [[50, 50, 50, 50], [50, 50, 50.01, 50.01], [10, 50, 150, 51], [0, 0, 160, 160], [159, 0, 160, 1]]
)
def test_losses_of_degenerate_boxes_are_finite(box):
    maps, _ = scene([1])
    target = Targets(torch.tensor([0]), torch.tensor([2]), torch.tensor([box]) * 1.0)
    check_finite(YOLOv7Criterion(head_only_detector(3)), maps, target)


def test_losses_without_auxiliary_maps():
    maps, targets = scene([5, 3], auxiliary=2)
    criterion = YOLOv7Criterion(head_only_detector(3))
    both, lead = criterion(maps, targets, StepContext()).parts, criterion(maps[:3], targets, StepContext()).parts
    assert lead == {name: both[name] for name in PARTS}


def test_recipes_of_all_variants():
    finals = {variant: recipe_of(variant).schedule.final for variant in (*yolov7.VARIANTS, *yolov7_p6.VARIANTS)}
    assert finals == {
        "yolov7-tiny": 0.01,
        **dict.fromkeys(("yolov7", "yolov7x", "yolov7-test"), 0.1),
        **dict.fromkeys(yolov7_p6.VARIANTS, 0.2),
    }
    assert recipe_of("yolov7-tiny").criterion(head_only_detector(3)).lead.gains == Gains()
    assert recipe_of("yolov7").criterion(head_only_detector(3, P5_ANCHORS)).lead_top_k == 10
    p6 = recipe_of("yolov7-e6")
    assert (p6.schedule.kind, p6.reduction, p6.augmentation.mixup, p6.augmentation.scale) == (
        "cosine",
        "sum",
        0.15,
        (0.1, 2.0),
    )


@pytest.mark.slow
def test_network_overfits_one_image():
    overfit("yolov7-test", recipe_of("yolov7-test"), size=64, steps=160, lr=0.01)


@pytest.mark.slow
def test_network_with_auxiliary_heads_overfits_one_image():
    overfit("yolov7-p6-test", recipe_of("yolov7-p6-test"), size=128, steps=140, lr=0.02)
