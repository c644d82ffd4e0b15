"""The criterion of YOLOv3: Darknet's gradients, and unusual scenes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_zoo.families.yolov3 import ANCHORS
from model_zoo.heads.darknet import YOLOHead
from tests.training.cell_cases import SCENES, run_criterion, targets_of
from tests.training.losses.anchor_cases import overfit
from tests.training.losses.darknet_cases import DTYPES, STRIDES, Layer, Network, head_only, of_image, random_maps
from training.assign.best_anchor import BestAnchor
from training.assign.max_iou_grid import MaxIoUGrid
from training.losses.criterion import StepContext
from training.losses.yolov3 import YOLOv3Criterion
from training.losses.yolov3_mmdet import MMDetYOLOv3Criterion
from training.recipes import recipe_of

LAYERS = ["v3_pj_s32", "v3_pj_s16", "v3_pj_s8", "v3_pj_truth_thresh"]


def yolo_head(num_classes: int = 3) -> YOLOHead:
    return YOLOHead((1, 1, 1), num_classes, ANCHORS, STRIDES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_a_layer_match_darknet(shared: Path, name: str, dtype: torch.dtype) -> None:
    layer = Layer(shared, name)
    assigner = BestAnchor(layer.options["ignore_thresh"], learn_above=layer.options["truth_thresh"])
    layer.check(YOLOv3Criterion(head_only(layer.yolo_head()), assigner), dtype, STRIDES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ignore", [0.5, 0.7])
def test_gradients_of_a_network_match_darknet(shared: Path, ignore: float, dtype: torch.dtype) -> None:
    case = Network(shared, "yolov3")
    head = YOLOHead((1, 1, 1), 3, case.anchors, STRIDES)
    case.check(YOLOv3Criterion(head_only(head), BestAnchor(ignore)), f"ignore{ignore}", dtype)


def test_prediction_learns_the_last_box_and_all_classes() -> None:
    head = yolo_head()
    maps, criterion = random_maps(head), YOLOv3Criterion(head_only(head))
    rows = [[0, 0, 40, 40, 100, 100], [0, 1, 42, 42, 98, 98]]
    first, last, both = (
        criterion(maps, targets_of(objects), StepContext()).parts for objects in (rows[:1], rows[1:], rows)
    )
    assert both["box"] == last["box"] != first["box"]
    for losses in (first, last):  # a second class changes the loss of one logit
        assert float(both["classes"]) != pytest.approx(float(losses["classes"]))
    same = criterion(maps, targets_of([rows[0], [0, 0, *rows[1][2:]]]), StepContext()).parts
    assert same["classes"] == first["classes"]


@pytest.mark.parametrize("criterion", [YOLOv3Criterion, MMDetYOLOv3Criterion])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_losses_are_finite(criterion: type[YOLOv3Criterion], scene: str, num_classes: int) -> None:
    head = yolo_head(num_classes)
    losses = run_criterion(criterion(head_only(head)), random_maps(head), targets_of(SCENES[scene]))
    assert (losses.parts["box"] > 0) == bool(SCENES[scene])


@pytest.mark.parametrize("criterion", [YOLOv3Criterion, MMDetYOLOv3Criterion])
def test_batch_loss_is_the_sum_over_images(criterion: type[YOLOv3Criterion]) -> None:
    head = yolo_head()
    maps, instance, targets = random_maps(head), criterion(head_only(head)), targets_of(SCENES["crowded"])
    alone = [instance([m[i : i + 1] for m in maps], of_image(targets, i), StepContext()).total for i in range(2)]
    torch.testing.assert_close(instance(maps, targets, StepContext()).total, torch.stack(alone).sum())


@pytest.mark.parametrize("criterion", [YOLOv3Criterion, MMDetYOLOv3Criterion])
def test_criteria_accept_both_assigners(criterion: type[YOLOv3Criterion]) -> None:
    head = yolo_head()
    maps, targets = random_maps(head), targets_of(SCENES["crowded"])
    totals = [
        run_criterion(criterion(head_only(head), each), maps, targets).total for each in (BestAnchor(), MaxIoUGrid())
    ]
    assert totals[0] != totals[1]


def test_object_in_the_last_cell_of_an_oblong_map() -> None:
    """Only the prediction of that cell learns objectness."""
    head = yolo_head()
    maps = [m.detach().zero_().requires_grad_() for m in random_maps(head, size=(64, 160))]
    YOLOv3Criterion(head_only(head))(maps, targets_of([[0, 2, 156, 57, 160, 64]]), StepContext()).total.backward()
    positive = [(m.grad[..., 4] < 0).nonzero().tolist() for m in maps if m.grad is not None]
    assert positive == [[[0, 0, 7, 19]], [], []]


def test_recipes_follow_darknet_and_mmdetection() -> None:
    coco, voc, mmdet = (recipe_of(variant) for variant in ("yolov3", "yolov3-voc", "yolov3-mmdet"))
    detector = head_only(yolo_head())
    assert [type(r.criterion(detector)) for r in (coco, voc, mmdet)] == [
        YOLOv3Criterion,
        YOLOv3Criterion,
        MMDetYOLOv3Criterion,
    ]
    assert coco.criterion(detector).assigner == BestAnchor(0.7)
    assert voc.criterion(detector).assigner == BestAnchor(0.5)
    assert [round(share * 500.2) for share in coco.schedule.milestones] == [400, 450]
    assert [round(share * 273) for share in mmdet.schedule.milestones] == [218, 246]
    assert {r.reduction for r in (coco, voc, mmdet)} == {"per_image"}


@pytest.mark.parametrize("variant", ["yolov3-test", pytest.param("yolov3-mmdet", marks=pytest.mark.slow)])
def test_network_overfits_one_image(variant: str) -> None:
    overfit("yolov3-test", recipe_of(variant), size=64, steps=100, lr=0.02)
