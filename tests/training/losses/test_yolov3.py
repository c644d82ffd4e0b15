"""The criterion of YOLOv3 in Darknet: its gradients, and scenes that it never saw."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_zoo.families.yolov3 import ANCHORS
from model_zoo.heads.darknet import YOLOHead
from tests.training.cell_cases import SCENES, learn
from tests.training.cell_cases import targets_of as boxes_of
from tests.training.losses.anchor_cases import overfit
from tests.training.losses.darknet_cases import DTYPES, STRIDES, Layer, Network, bare, of_image, random_maps
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
def test_gradients_of_a_layer_are_darknets(shared: Path, name: str, dtype: torch.dtype) -> None:
    layer = Layer(shared, name)
    assigner = BestAnchor(layer.options["ignore_thresh"], learn_above=layer.options["truth_thresh"])
    layer.check(YOLOv3Criterion(bare(layer.yolo_head()), assigner), dtype, STRIDES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ignore", [0.5, 0.7])
def test_gradients_of_a_network_are_darknets(shared: Path, ignore: float, dtype: torch.dtype) -> None:
    case = Network(shared, "yolov3")
    head = YOLOHead((1, 1, 1), 3, case.anchors, STRIDES)
    case.check(YOLOv3Criterion(bare(head), BestAnchor(ignore)), f"ignore{ignore}", dtype)


def test_a_prediction_has_the_box_of_the_last_object_and_the_classes_of_all() -> None:
    head = yolo_head()
    maps, criterion = random_maps(head), YOLOv3Criterion(bare(head))
    rows = [[0, 0, 40, 40, 100, 100], [0, 1, 42, 42, 98, 98]]
    first, last, both = (criterion(maps, boxes_of(some), StepContext()).parts for some in (rows[:1], rows[1:], rows))
    assert both["box"] == last["box"] != first["box"]
    for losses in (first, last):  # one class more is one logit more
        assert float(both["classes"]) != pytest.approx(float(losses["classes"]))
    same = criterion(maps, boxes_of([rows[0], [0, 0, *rows[1][2:]]]), StepContext()).parts
    assert same["classes"] == first["classes"]


@pytest.mark.parametrize("criterion", [YOLOv3Criterion, MMDetYOLOv3Criterion])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_any_scene_has_finite_losses(criterion: type[YOLOv3Criterion], scene: str, num_classes: int) -> None:
    head = yolo_head(num_classes)
    losses = learn(criterion(bare(head)), random_maps(head), boxes_of(SCENES[scene]))
    assert (losses.parts["box"] > 0) == bool(SCENES[scene])


@pytest.mark.parametrize("criterion", [YOLOv3Criterion, MMDetYOLOv3Criterion])
def test_a_batch_costs_what_its_images_do(criterion: type[YOLOv3Criterion]) -> None:
    head = yolo_head()
    maps, ours, targets = random_maps(head), criterion(bare(head)), boxes_of(SCENES["crowded"])
    alone = [ours([m[i : i + 1] for m in maps], of_image(targets, i), StepContext()).total for i in range(2)]
    torch.testing.assert_close(ours(maps, targets, StepContext()).total, torch.stack(alone).sum())


@pytest.mark.parametrize("criterion", [YOLOv3Criterion, MMDetYOLOv3Criterion])
def test_either_assigner_serves_either_criterion(criterion: type[YOLOv3Criterion]) -> None:
    head = yolo_head()
    maps, targets = random_maps(head), boxes_of(SCENES["crowded"])
    totals = [learn(criterion(bare(head), each), maps, targets).total for each in (BestAnchor(), MaxIoUGrid())]
    assert totals[0] != totals[1]


def test_an_oblong_map_is_read_row_by_row() -> None:
    """An object in the last cell of a wide map: only that cell's prediction learns to be an object."""
    head = yolo_head()
    maps = [m.detach().zero_().requires_grad_() for m in random_maps(head, size=(64, 160))]
    YOLOv3Criterion(bare(head))(maps, boxes_of([[0, 2, 156, 57, 160, 64]]), StepContext()).total.backward()
    raised = [(m.grad[..., 4] < 0).nonzero().tolist() for m in maps if m.grad is not None]
    assert raised == [[[0, 0, 7, 19]], [], []]


def test_recipes_are_darknets_and_mmdetections() -> None:
    coco, voc, mmdet = (recipe_of(variant) for variant in ("yolov3", "yolov3-voc", "yolov3-mmdet"))
    detector = bare(yolo_head())
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


@pytest.mark.parametrize("variant", ["yolov3-test", "yolov3-mmdet"])
def test_an_image_is_learned_by_heart(variant: str) -> None:
    overfit("yolov3-test", recipe_of(variant), size=64, steps=100, lr=0.02)
