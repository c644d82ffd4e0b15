"""The criterion of YOLOv2: gradients of both Darknet programs, and unusual scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.families.yolov2 import VOC_CELLS
from model_zoo.heads.darknet import RegionHead
from tests.training.cell_cases import SCENES, run_criterion, targets_of
from tests.training.losses.anchor_cases import overfit
from tests.training.losses.darknet_cases import (
    DTYPES,
    Layer,
    as_maps,
    assert_delta,
    head_only,
    of_image,
    random_maps,
    scaled_targets,
)
from training.assign.best_anchor import BestAnchor
from training.losses.criterion import StepContext
from training.losses.yolov2 import Gains, YOLOv2Criterion
from training.recipes import recipe_of

LAYERS = ["v2_pj", "v2_pj_warmup", "v2_pj_norescore_nobiasmatch", "v2_ab", "v2_ab_warmup"]
LATER = StepContext(images_seen=12800)


def region_head(num_classes: int = 3, cells: tuple[tuple[float, float], ...] = VOC_CELLS) -> RegionHead:
    return RegionHead((1,), num_classes, (tuple((32 * w, 32 * h) for w, h in cells),), (32,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_match_darknet(shared: Path, name: str, dtype: torch.dtype) -> None:
    layer, old = Layer(shared, name), name.startswith("v2_ab")
    head = layer.region_head()
    assigner = BestAnchor(layer.options["thresh"], by_prediction=not layer.options["bias_match"])
    gains = Gains(rescore=bool(layer.options["rescore"]), squared=old)
    layer.check(YOLOv2Criterion(head_only(head), assigner, gains), dtype, head.strides)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["basic_voc", "basic_voc_seen0"])
def test_gradients_of_a_batch_match_darknet(shared: Path, name: str, dtype: torch.dtype) -> None:
    path = shared / "parity/training/yolov2_loss" / f"{name}.npz"
    with np.load(path) as file:
        case = dict(file)
    seen = json.loads(path.with_suffix(".json").read_text())["hyper"]["seen"]
    raw = torch.from_numpy(case["pred"]).to(dtype).requires_grad_()
    criterion = YOLOv2Criterion(head_only(region_head(20, tuple(map(tuple, case["anchors_cells"].tolist())))))
    criterion(
        as_maps([raw]), scaled_targets(case["targets"], (224, 224)), StepContext(images_seen=seen)
    ).total.backward()
    assert raw.grad is not None
    assert_delta(raw.grad, case["delta"])
    ignored = (raw.grad[:, :, 4] == 0).nonzero()
    assert ignored.tolist() == case["obj_zero"].tolist()


def test_warm_start_is_limited_to_the_first_images() -> None:
    head = region_head()
    maps, criterion = random_maps(head), YOLOv2Criterion(head_only(head))
    parts = [criterion(maps, targets_of([]), StepContext(images_seen=seen)).parts for seen in (0, 12799, 12800)]
    assert ["warm_start" in each for each in parts] == [True, True, False]
    zeros = [torch.zeros_like(m) for m in maps]
    assert criterion(zeros, targets_of([]), StepContext()).parts["warm_start"] == pytest.approx(
        0.01 * 2 * 125 * 2 * np.log(2), rel=1e-6
    )


def test_gains_scale_their_parts() -> None:
    head = region_head()
    maps, targets = random_maps(head), targets_of(SCENES["one object"])
    once = YOLOv2Criterion(head_only(head))(maps, targets, StepContext()).parts
    twice = YOLOv2Criterion(head_only(head), gains=Gains(2, 10, 2, 2, 0.02))(maps, targets, StepContext()).parts
    assert {k: float(v) for k, v in twice.items()} == pytest.approx({k: 2 * float(v) for k, v in once.items()})


def test_prediction_learns_the_last_of_its_objects() -> None:
    head = region_head()
    maps, criterion = random_maps(head), YOLOv2Criterion(head_only(head))
    rows = [[0, 0, 40, 40, 100, 100], [0, 1, 42, 42, 98, 98]]
    both, last = (criterion(maps, targets_of(objects), LATER).parts for objects in (rows, rows[1:]))
    assert both["box"] == last["box"]
    assert both["classes"] == last["classes"]


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_losses_are_finite(scene: str, num_classes: int) -> None:
    head = region_head(num_classes)
    losses = run_criterion(YOLOv2Criterion(head_only(head)), random_maps(head), targets_of(SCENES[scene]))
    assert (losses.parts["box"] > 0) == bool(SCENES[scene])


def test_batch_loss_is_the_sum_over_images() -> None:
    head = region_head()
    maps, criterion, targets = random_maps(head), YOLOv2Criterion(head_only(head)), targets_of(SCENES["crowded"])
    alone = [criterion([m[i : i + 1] for m in maps], of_image(targets, i), LATER).total for i in range(2)]
    torch.testing.assert_close(criterion(maps, targets, LATER).total, torch.stack(alone).sum())


def test_fitted_anchors_of_the_detector_are_used() -> None:
    head = region_head()
    criterion, maps, targets = YOLOv2Criterion(head_only(head)), random_maps(head), targets_of(SCENES["one object"])
    before = criterion(maps, targets, LATER).total
    head.anchors.mul_(1.5)
    assert criterion(maps, targets, LATER).total != before
    assert not list(criterion.parameters()), "the criterion must not own the head"


def test_recipe_follows_the_paper() -> None:
    recipe = recipe_of("yolov2-voc")
    assert (recipe.epochs, recipe.reduction, recipe.optimizer.clip_norm) == (160, "per_image", 0)
    assert [round(share * 160) for share in recipe.schedule.milestones] == [60, 90]
    assert [round(416 * share) for share in recipe.augmentation.multi_scale] == [320, 608]
    assert recipe.augmentation.mosaic == 0


def test_network_overfits_one_image() -> None:
    overfit("yolov2-test", recipe_of("yolov2-test"), size=64, steps=100, lr=0.02)
