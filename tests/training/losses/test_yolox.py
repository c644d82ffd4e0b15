"""The criterion of YOLOX and of YOLOv6 0.1.0: the originals' losses and gradients, when L1 counts, a short training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo.registry import build
from tests.training.cell_cases import DTYPES, SCENES, Case, learn, random_maps, relative, targets_of
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
        for part, mine in zip(("reg", "obj", "cls"), m.grad.tensor_split([4, 5], dim=1), strict=True):
            if f"{kind}__grad_{part}{i}" in case.arrays:
                assert relative(mine, case.arrays[f"{kind}__grad_{part}{i}"]) < GRADIENT_TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [3, 80])
def test_losses_and_gradients_are_the_originals(shared: Path, classes: int, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "yolox_loss", f"basic_nc{classes}")
    maps = maps_of(case, dtype)
    losses = learn(criterion_of(classes, **KINDS[kind]), maps, case.targets(dtype))
    for name, expected in zip(ORDER, case.get(f"{kind}__parts", dtype), strict=True):
        torch.testing.assert_close(losses.parts[name], expected, rtol=LOSS_TOLERANCE[dtype], atol=0)
    check_gradients(case, kind, maps, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["l1off", "l1on"])
def test_losses_and_gradients_are_mmdetections(shared: Path, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "mmdet_yolox_loss", "basic_nc3")
    maps = maps_of(case, dtype)
    losses = learn(criterion_of(3, assigner=MMDETECTION, always_l1=kind == "l1on"), maps, case.targets(dtype))
    for name, key in zip(ORDER, ("loss_bbox", "loss_obj", "loss_cls", "loss_l1"), strict=True):
        expected = (
            case.get(f"{kind}__{key}", dtype) if f"{kind}__{key}" in case.arrays else torch.zeros((), dtype=dtype)
        )
        torch.testing.assert_close(losses.parts[name], expected, rtol=LOSS_TOLERANCE[dtype], atol=0)
    check_gradients(case, kind, maps, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MEASURES)
def test_losses_and_gradients_are_those_of_the_first_yolov6(shared: Path, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, "yolov6_loss", "simota_r010_nc3")
    maps = [case.get(f"pred{i}", dtype)[:, 0].permute(0, 3, 1, 2).requires_grad_() for i in range(3)]
    criterion = criterion_of(3, assigner=FIRST_RELEASES, measure=MEASURES[kind], always_l1=True)
    losses = learn(criterion, maps, case.targets(dtype))
    for name, expected in zip(("box", "l1", "objectness", "classes"), case.get(f"{kind}__parts", dtype), strict=True):
        torch.testing.assert_close(losses.parts[name], expected, rtol=LOSS_TOLERANCE[dtype], atol=0)
    for i, m in enumerate(maps):
        assert m.grad is not None
        mine = m.grad.permute(0, 2, 3, 1)[:, None]
        assert relative(mine, case.arrays[f"{kind}__grad{i}"]) < GRADIENT_TOLERANCE[dtype]


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("variant", ["yolox-nano", "yolov6n-v1"])
def test_unusual_scenes_are_learned(variant: str, scene: str, classes: int) -> None:
    criterion = recipe_of(variant).criterion(build("yolox-test", num_classes=classes))
    losses = learn(criterion, random_maps(5 + classes), targets_of(SCENES[scene]), StepContext(close_mosaic=True))
    assert losses.parts.keys() == set(ORDER)
    assert bool(losses.parts["l1"] > 0) == (scene not in ("no objects", "outside"))


@pytest.mark.parametrize(
    ("variant", "close_mosaic", "counts"),
    [("yolox-s", False, False), ("yolox-s", True, True), ("yolov6n-v1", False, True), ("yolov6n-v1", True, True)],
)
def test_l1_counts_in_the_closing_epochs_and_always_in_the_first_yolov6(
    variant: str, close_mosaic: bool, counts: bool
) -> None:
    criterion = recipe_of(variant).criterion(build("yolox-test", num_classes=3))
    losses = learn(criterion, random_maps(8), targets_of(SCENES["one object"]), StepContext(close_mosaic=close_mosaic))
    assert bool(losses.parts["l1"] > 0) == counts


@pytest.mark.parametrize(("scene", "count"), [("one object", 40.0), ("no objects", 0.25)])
def test_all_is_divided_by_the_average_count_of_the_processes_if_that_is_more_than_one(
    scene: str, count: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learned(average: Callable[[Tensor], Tensor]) -> Tensor:
        monkeypatch.setattr(yolox, "average_over_ranks", average)
        return learn(criterion_of(3), random_maps(8), targets_of(SCENES[scene])).total.detach()

    alone, together = learned(torch.ones_like), learned(lambda value: torch.full_like(value, count))
    torch.testing.assert_close(together, alone / max(count, 1))


def test_a_batch_is_its_images_divided_by_all_that_learn(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(shared, "yolox_loss", "basic_nc3")
    maps, targets, criterion = maps_of(case, torch.float64), case.targets(torch.float64), criterion_of(3)
    together = criterion(maps, targets, StepContext()).total * 50  # that many learn, says the reference
    monkeypatch.setattr(yolox, "average_over_ranks", torch.ones_like)
    alone = []
    for image in range(2):
        mine = targets.image_index == image
        own = targets._replace(image_index=torch.zeros_like(targets.image_index[mine]))
        own = own._replace(class_ids=targets.class_ids[mine], boxes=targets.boxes[mine])
        alone.append(criterion([m[image : image + 1] for m in maps], own, StepContext()).total)
    torch.testing.assert_close(together, alone[0] + alone[1])


def test_one_image_is_learned_by_heart() -> None:
    overfit("yolox-test", recipe_of("yolox-test"), size=128, steps=120, lr=0.01)


@pytest.mark.parametrize(("variant", "mixup", "scale"), [("yolox-nano", 0, (0.5, 1.5)), ("yolox-s", 1, (0.1, 2.0))])
def test_small_networks_are_trained_on_milder_pictures(variant: str, mixup: float, scale: tuple[float, float]) -> None:
    augmentation = recipe_of(variant).augmentation
    assert (augmentation.mixup, augmentation.scale) == (mixup, scale)
