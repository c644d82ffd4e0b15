"""The criterion of YOLOv6 from 2.0 on: the original's losses and gradients, the use of ATSS, a short training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.registry import build
from tests.training.cell_cases import DTYPES, GRIDS, SCENES, Case, random_maps, relative, run_criterion, targets_of
from tests.training.losses.anchor_cases import overfit
from training.boxes import giou, siou
from training.loop.schedule import LRSchedule
from training.losses import yolov6
from training.losses.criterion import StepContext
from training.losses.yolov6 import YOLOv6Criterion
from training.losses.yolox import YOLOXCriterion
from training.recipes import recipe_of

KINDS = ["tal_siou", "tal_giou", "atss_giou", "atss_siou", "tal_giou_dfl", "atss_siou_dfl"]
CASES = [(3, kind) for kind in KINDS] + [(80, kind) for kind in ("tal_siou", "atss_giou", "tal_giou_dfl")]
LOSS_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-8}
GRADIENT_TOLERANCE = {torch.float32: 3e-6, torch.float64: 2e-7}  # the reference's are float32


def detector_of(classes: int, bins: bool) -> Detector:
    return build("yolov6-v3-test" if bins else "yolov6-test", num_classes=classes)


def maps_of(raw: Tensor) -> list[Tensor]:
    """Convert rows (B, N, R) to raw maps."""
    levels = raw.transpose(1, 2).split([g.height * g.width for g in GRIDS], dim=2)
    return [m.unflatten(2, g[:2]).contiguous().requires_grad_() for m, g in zip(levels, GRIDS, strict=True)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("classes", "kind"), CASES)
def test_losses_and_gradients_match_the_original(shared: Path, classes: int, kind: str, dtype: torch.dtype) -> None:
    case, bins = Case(shared, "yolov6_loss", f"basic_nc{classes}"), "dfl" in kind
    numbers = case.get("reg_dfl" if bins else "reg", dtype)
    maps = maps_of(torch.cat([numbers, case.get("cls_logits", dtype)], dim=2))
    criterion = YOLOv6Criterion(
        detector_of(classes, bins), siou if "siou" in kind else giou, warmup_epochs=4 if "atss" in kind else 0
    )
    losses = run_criterion(criterion, maps, case.targets(dtype))
    expected = dict(zip(("box", "dfl", "classes"), case.get(f"{kind}__parts", dtype), strict=True))
    for name, part in losses.parts.items():
        torch.testing.assert_close(part, expected[name], rtol=LOSS_TOLERANCE[dtype], atol=0)
    assert ("dfl" in losses.parts) == bins
    gradient = torch.cat([m.grad.flatten(2) for m in maps if m.grad is not None], dim=2).transpose(1, 2)
    for part, actual in zip(("reg", "cls"), gradient.tensor_split([numbers.shape[2]], dim=2), strict=True):
        if f"{kind}__grad_{part}" in case.arrays:
            assert relative(actual, case.arrays[f"{kind}__grad_{part}"]) < GRADIENT_TOLERANCE[dtype]


@pytest.mark.parametrize("bins", [False, True])
@pytest.mark.parametrize("epoch", [0, 4])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("scene", SCENES)
def test_losses_of_unusual_scenes(scene: str, classes: int, epoch: int, bins: bool) -> None:
    criterion = YOLOv6Criterion(detector_of(classes, bins))
    maps = random_maps(classes + 4 * (17 if bins else 1))
    losses = run_criterion(criterion, maps, targets_of(SCENES[scene]), StepContext(epoch))
    if scene in ("no objects", "outside", "tiny", "thin"):
        assert losses.parts["box"] == 0
    assert losses.parts["classes"] > 0


def test_loss_of_absent_classes_follows_the_paper() -> None:
    maps = random_maps(4 + 3)
    losses = run_criterion(YOLOv6Criterion(detector_of(3, False)), maps, targets_of([]))
    scores = torch.cat([m.detach()[:, 4:].sigmoid().flatten() for m in maps])
    torch.testing.assert_close(losses.total.detach(), -0.75 * (scores**2 * (1 - scores).log()).sum())


@pytest.mark.parametrize(
    ("variant", "epoch", "atss"),
    [("yolov6n", 3, True), ("yolov6n", 4, False), ("yolov6m", 0, True), ("yolov6n-v3", 0, False)],
)
def test_warmup_with_atss_only_in_release_2(
    variant: str, epoch: int, atss: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("ATSS", "TAL"):
        assigner = getattr(yolov6, name)()
        monkeypatch.setattr(yolov6, name, lambda name=name, own=assigner: lambda *a: (calls.append(name), own(*a))[1])
    criterion = recipe_of(variant).criterion(detector_of(3, False))
    run_criterion(criterion, random_maps(7), targets_of(SCENES["one object"]), StepContext(epoch))
    assert calls == ["ATSS" if atss else "TAL"]


def test_losses_are_divided_by_the_mean_sum_of_scores_above_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def total(average: Callable[[Tensor], Tensor]) -> Tensor:
        monkeypatch.setattr(yolov6, "average_over_ranks", average)
        criterion = YOLOv6Criterion(detector_of(3, False), warmup_epochs=0)
        return run_criterion(criterion, random_maps(7), targets_of(SCENES["one object"])).total.detach()

    one, half, seven = (total(lambda value, to=to: torch.full_like(value, to)) for to in (1.0, 0.5, 7.0))
    torch.testing.assert_close(half, one)
    torch.testing.assert_close(seven, one / 7)


@pytest.mark.parametrize("variant", ["yolov6n-v3-fuseab", "yolov6n-v3-distill"])
def test_training_branches_are_ignored(variant: str) -> None:
    detector = build(variant, num_classes=3).train()
    maps = [m.detach().requires_grad_() for m in detector(torch.rand(1, 3, 64, 64))]
    losses = recipe_of(variant).criterion(detector)(maps, targets_of([[0, 1, 10, 10, 50, 50]]), StepContext())
    losses.total.backward()
    assert [m.grad is not None for m in maps] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("variant", ["yolov6-test", pytest.param("yolov6-v3-test", marks=pytest.mark.slow)])
def test_network_overfits_one_image(variant: str) -> None:
    overfit(variant, recipe_of(variant), size=128, steps=100, lr=0.02)


@pytest.mark.parametrize(
    ("variant", "criterion", "measure", "epochs"),
    [
        ("yolov6n-v1", YOLOXCriterion, None, 400),
        ("yolov6n", YOLOv6Criterion, siou, 400),
        ("yolov6s-v3", YOLOv6Criterion, giou, 400),
        ("yolov6l-relu", YOLOv6Criterion, giou, 300),
    ],
)
def test_criterion_of_each_release_and_size(
    variant: str, criterion: type, measure: Callable[..., Tensor] | None, epochs: int
) -> None:
    recipe = recipe_of(variant)
    made = recipe.criterion(build("yolox-test" if measure is None else "yolov6-test", num_classes=3))
    assert type(made) is criterion
    assert measure in (None, made.measure)
    assert recipe.epochs == epochs


@pytest.mark.parametrize("batch", [4, 16, 256])
def test_lr_does_not_depend_on_the_batch(batch: int) -> None:
    recipe = recipe_of("yolov6n")
    table = LRSchedule(recipe.schedule, recipe.optimizer, epochs=400, steps_per_epoch=1000, batch=batch)
    assert table.at(3000).lr == pytest.approx(recipe.optimizer.lr, rel=1e-3)
    assert {table.at(step).accumulate for step in (0, 3000, 399_999)} == {1}
