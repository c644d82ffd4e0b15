"""The criterion of YOLOX and YOLOv6 0.1.0: the originals' losses and gradients, the use of L1, a short training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo.registry import build
from tests.training.cell_cases import DTYPES, SCENES, Case, random_maps, relative, run_criterion, targets_of
from tests.training.losses.anchor_cases import overfit
from training.assign.simota import FIRST_RELEASES, SimOTA
from training.boxes import ciou, giou, siou
from training.losses import yolox
from training.losses.criterion import StepContext
from training.losses.yolox import YOLOXCriterion
from training.recipes import recipe_of

MMDETECTION = SimOTA(2.5, or_inside=True, penalty=1e5, iou_floor=1e-7)
KINDS: dict[str, dict[str, Any]] = {
    "l1off": {},
    "l1on": {"always_l1": True},
    "giou": {"measure": giou},
    "r030_l1off": {"assigner": FIRST_RELEASES},
    "r030_l1on": {"assigner": FIRST_RELEASES, "always_l1": True},
}
MEASURES = {"siou": partial(siou, absolute=torch.abs), "ciou": ciou, "giou": giou}
ORDER = ("box", "objectness", "classes", "l1")
LOSS_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-7}
GRADIENT_TOLERANCE = {torch.float32: 5e-6, torch.float64: 2e-7}  # the reference's are float32


def criterion_of(classes: int, **options: Any) -> YOLOXCriterion:
    return YOLOXCriterion(build("yolox-test", num_classes=classes), **options)


def maps_of(case: Case, dtype: torch.dtype) -> list[Tensor]:
    parts = [[case.get(f"{part}{i}", dtype) for part in ("reg", "obj", "cls")] for i in range(3)]
    return [torch.cat(level, dim=1).requires_grad_() for level in parts]


def check_gradients(case: Case, kind: str, maps: list[Tensor], dtype: torch.dtype) -> None:
    for i, m in enumerate(maps):
        assert m.grad is not None
        for part, gradient in zip(("reg", "obj", "cls"), m.grad.tensor_split([4, 5], dim=1), strict=True):
            if f"{kind}__grad_{part}{i}" in case.arrays:
                assert relative(gradient, case.arrays[f"{kind}__grad_{part}{i}"]) < GRADIENT_TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [3, 80])
def test_losses_and_gradients_match_the_originals(shared: Path, classes: int, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "yolox_loss", f"basic_nc{classes}")
    maps = maps_of(case, dtype)
    losses = run_criterion(criterion_of(classes, **KINDS[kind]), maps, case.targets(dtype))
    for name, expected in zip(ORDER, case.get(f"{kind}__parts", dtype), strict=True):
        torch.testing.assert_close(losses.parts[name], expected, rtol=LOSS_TOLERANCE[dtype], atol=0)
    check_gradients(case, kind, maps, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["l1off", "l1on"])
def test_losses_and_gradients_match_mmdetection(shared: Path, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "mmdet_yolox_loss", "basic_nc3")
    maps = maps_of(case, dtype)
    losses = run_criterion(criterion_of(3, assigner=MMDETECTION, always_l1=kind == "l1on"), maps, case.targets(dtype))
    for name, key in zip(ORDER, ("loss_bbox", "loss_obj", "loss_cls", "loss_l1"), strict=True):
        expected = (
            case.get(f"{kind}__{key}", dtype) if f"{kind}__{key}" in case.arrays else torch.zeros((), dtype=dtype)
        )
        torch.testing.assert_close(losses.parts[name], expected, rtol=LOSS_TOLERANCE[dtype], atol=0)
    check_gradients(case, kind, maps, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MEASURES)
def test_losses_and_gradients_match_yolov6_0_1_0(shared: Path, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "yolov6_loss", "simota_r010_nc3")
    maps = [case.get(f"pred{i}", dtype)[:, 0].permute(0, 3, 1, 2).requires_grad_() for i in range(3)]
    criterion = criterion_of(3, assigner=FIRST_RELEASES, measure=MEASURES[kind], always_l1=True)
    losses = run_criterion(criterion, maps, case.targets(dtype))
    for name, expected in zip(("box", "l1", "objectness", "classes"), case.get(f"{kind}__parts", dtype), strict=True):
        torch.testing.assert_close(losses.parts[name], expected, rtol=LOSS_TOLERANCE[dtype], atol=0)
    for i, m in enumerate(maps):
        assert m.grad is not None
        gradient = m.grad.permute(0, 2, 3, 1)[:, None]
        assert relative(gradient, case.arrays[f"{kind}__grad{i}"]) < GRADIENT_TOLERANCE[dtype]


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("variant", ["yolox-nano", "yolov6n-v1"])
def test_losses_of_unusual_scenes(variant: str, scene: str, classes: int) -> None:
    criterion = recipe_of(variant).criterion(build("yolox-test", num_classes=classes))
    losses = run_criterion(
        criterion, random_maps(5 + classes), targets_of(SCENES[scene]), StepContext(close_mosaic=True)
    )
    assert losses.parts.keys() == set(ORDER)
    assert bool(losses.parts["l1"] > 0) == (scene not in ("no objects", "outside"))


@pytest.mark.parametrize(
    ("variant", "close_mosaic", "counts"),
    [("yolox-s", False, False), ("yolox-s", True, True), ("yolov6n-v1", False, True), ("yolov6n-v1", True, True)],
)
def test_l1_is_used_without_mosaic_and_always_in_yolov6_0_1_0(variant: str, close_mosaic: bool, counts: bool) -> None:
    criterion = recipe_of(variant).criterion(build("yolox-test", num_classes=3))
    losses = run_criterion(
        criterion, random_maps(8), targets_of(SCENES["one object"]), StepContext(close_mosaic=close_mosaic)
    )
    assert bool(losses.parts["l1"] > 0) == counts


@pytest.mark.parametrize(("scene", "count"), [("one object", 40.0), ("no objects", 0.25)])
def test_losses_are_divided_by_the_mean_count_of_the_ranks_above_one(
    scene: str, count: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learned(average: Callable[[Tensor], Tensor]) -> Tensor:
        monkeypatch.setattr(yolox, "average_over_ranks", average)
        return run_criterion(criterion_of(3), random_maps(8), targets_of(SCENES[scene])).total.detach()

    alone, together = learned(torch.ones_like), learned(lambda value: torch.full_like(value, count))
    torch.testing.assert_close(together, alone / max(count, 1))


def test_batch_loss_is_the_sum_over_images_per_positive(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(shared, "yolox_loss", "basic_nc3")
    maps, targets, criterion = maps_of(case, torch.float64), case.targets(torch.float64), criterion_of(3)
    together = criterion(maps, targets, StepContext()).total * 50  # number of positives in the reference
    monkeypatch.setattr(yolox, "average_over_ranks", torch.ones_like)
    alone = []
    for image in range(2):
        in_image = targets.image_index == image
        single = targets._replace(image_index=torch.zeros_like(targets.image_index[in_image]))
        single = single._replace(class_ids=targets.class_ids[in_image], boxes=targets.boxes[in_image])
        alone.append(criterion([m[image : image + 1] for m in maps], single, StepContext()).total)
    torch.testing.assert_close(together, alone[0] + alone[1])


@pytest.mark.slow
def test_network_overfits_one_image() -> None:
    overfit("yolox-test", recipe_of("yolox-test"), size=128, steps=120, lr=0.01)


@pytest.mark.parametrize(("variant", "mixup", "scale"), [("yolox-nano", 0, (0.5, 1.5)), ("yolox-s", 1, (0.1, 2.0))])
def test_small_networks_have_weaker_augmentation(variant: str, mixup: float, scale: tuple[float, float]) -> None:
    augmentation = recipe_of(variant).augmentation
    assert (augmentation.mixup, augmentation.scale) == (mixup, scale)
