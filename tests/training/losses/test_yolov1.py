"""The criterion of YOLOv1: Darknet's gradients, and unusual scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.heads.grid import GridHead
from model_zoo.registry import build
from tests.training.cell_cases import SCENES, run_criterion, targets_of
from tests.training.losses.darknet_cases import DTYPES, Layer, assert_delta, head_only, of_image, scaled_targets
from training.batch import Targets
from training.loop.optimizer import scale_weight_decay
from training.loop.schedule import LRSchedule
from training.losses.criterion import StepContext
from training.losses.yolov1 import Gains, YOLOv1Criterion
from training.recipe import Schedule
from training.recipes import recipe_of


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["v1_paper_head", "v1_cfg_head", "v1_nosqrt_norescore", "v1_far"])
def test_gradients_match_darknet(shared: Path, name: str, dtype: torch.dtype) -> None:
    layer = Layer(shared, name)
    gains = Gains(rescore=bool(layer.options["rescore"]), roots=bool(layer.options["sqrt"]))
    raw = torch.from_numpy(layer.raw).to(dtype).requires_grad_()
    YOLOv1Criterion(head_only(layer.grid_head()), gains)([raw], layer.targets, StepContext()).total.backward()
    assert raw.grad is not None
    assert_delta(raw.grad, layer.delta)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_batch_match_darknet(shared: Path, dtype: torch.dtype) -> None:
    with np.load(shared / "parity/training/yolov1_loss/basic_b2.npz") as file:
        case = dict(file)
    raw = torch.from_numpy(case["pred"]).to(dtype).requires_grad_()
    criterion = YOLOv1Criterion(head_only(GridHead(1, 20, boxes=2)))
    criterion([raw], scaled_targets(case["targets"], (448, 448)), StepContext()).total.backward()
    assert raw.grad is not None
    assert_delta(raw.grad, case["delta"])


def test_parts_are_half_the_squared_errors() -> None:
    """With one cell, one predictor and one class, all losses are known."""
    head = GridHead(1, 1, boxes=1, cells=1, stride=100)
    raw = torch.tensor([[0.25, 0.5, 0.5, 0.5, 0.6, 0.8]])  # class, confidence, x, y, roots of w and h
    targets = Targets(torch.tensor([0]), torch.tensor([0]), torch.tensor([[32.0, 18.0, 68.0, 82.0]]))
    parts = YOLOv1Criterion(head_only(head))([raw], targets, StepContext()).parts
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(
        {"box": 0, "objectness": 0.5**2 / 2, "classes": 0.75**2 / 2}, abs=1e-6
    )
    moved = YOLOv1Criterion(head_only(head))(
        [raw + torch.tensor([0, 0, 0.1, 0, 0, -0.2])], targets, StepContext()
    ).parts
    assert float(moved["box"]) == pytest.approx(5 * (0.1**2 + 0.2**2) / 2, abs=1e-6)


def test_gains_scale_their_parts() -> None:
    head = GridHead(1, 3, boxes=2, cells=5, stride=32)
    raw, targets = (
        torch.randn(2, 5 * 5 * 13, generator=torch.Generator().manual_seed(0)),
        targets_of(SCENES["one object"]),
    )
    once = YOLOv1Criterion(head_only(head))([raw], targets, StepContext()).parts
    twice = YOLOv1Criterion(head_only(head), Gains(10, 2, 1, 2))([raw], targets, StepContext()).parts
    assert {name: float(part) for name, part in twice.items()} == pytest.approx(
        {k: 2 * float(v) for k, v in once.items()}
    )


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_losses_are_finite(scene: str, num_classes: int) -> None:
    raw = torch.randn(2, 5 * 5 * (num_classes + 10), generator=torch.Generator().manual_seed(0)).requires_grad_()
    criterion = YOLOv1Criterion(head_only(GridHead(1, num_classes, boxes=2, cells=5, stride=32)))
    losses = run_criterion(criterion, [raw], targets_of(SCENES[scene]))
    assert (losses.parts["box"] > 0) == bool(SCENES[scene])


def test_batch_loss_is_the_sum_over_images() -> None:
    raw = torch.randn(2, 5 * 5 * 13, generator=torch.Generator().manual_seed(0))
    criterion = YOLOv1Criterion(head_only(GridHead(1, 3, boxes=2, cells=5, stride=32)))
    targets = targets_of(SCENES["crowded"])
    alone = [criterion([raw[i : i + 1]], of_image(targets, i), StepContext()).total for i in range(2)]
    torch.testing.assert_close(criterion([raw], targets, StepContext()).total, torch.stack(alone).sum())


def test_recipe_follows_the_paper_except_lr() -> None:
    recipe = recipe_of("yolov1-paper")
    assert (recipe.epochs, recipe.reduction) == (135, "per_image")
    assert recipe.schedule.warmup_from == 0.1
    assert [round(share * 135) for share in recipe.schedule.milestones] == [75, 105]


@pytest.mark.parametrize(("variant", "lr"), [("yolov1", 1e-3), ("yolov2", 1e-3), ("yolov3", 1e-3), ("yolov4", 1.3e-3)])
def test_lr_and_decay_of_a_step_of_64_images_match_darknet(variant: str, lr: float) -> None:
    optimizer = recipe_of(variant).optimizer
    settings = LRSchedule(Schedule(warmup_epochs=0, warmup_min_steps=0), optimizer, 10, 100, batch=64).at(0)
    assert (settings.lr, settings.accumulate, scale_weight_decay(optimizer, 64)) == (lr, 1, 5e-4)


def test_network_overfits_one_image() -> None:
    """Without dropout, whose noise outweighs the loss of so small a network, on CPUs of any instruction set."""
    torch.manual_seed(0)
    detector = build("yolov1-test", num_classes=3).train()
    for dropout in (m for m in detector.modules() if isinstance(m, nn.Dropout)):
        dropout.p = 0.0
    x, targets = torch.zeros(1, 3, 448, 448), targets_of([[0, 0, 28, 28, 140, 196], [0, 2, 210, 168, 420, 308]])
    x[:, 0, 28:196, 28:140] = x[:, 2, 168:308, 210:420] = 1
    criterion, optimizer = recipe_of("yolov1-test").criterion(detector), torch.optim.Adam(detector.parameters(), 0.02)
    losses = []
    for _ in range(60):
        losses.append(criterion(detector(x), targets, StepContext()).total)
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.02 * losses[0]
