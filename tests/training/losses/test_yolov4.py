"""The criterion of YOLOv4: Darknet's matching and gradients, true gradients of boxes, and scenes that it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.detector import Head
from model_zoo.families.yolov4 import ANCHORS, SCALE_XY, TINY_ANCHORS, TINY_SCALE_XY
from model_zoo.heads.darknet import ScaledYOLOv4Head, YOLOv4Head
from tests.training.cell_cases import SCENES, learn
from tests.training.cell_cases import targets_of as boxes_of
from tests.training.losses.anchor_cases import overfit
from tests.training.losses.darknet_cases import DTYPES, STRIDES, Layer, Network, bare, of_image, random_maps
from training import boxes
from training.assign.best_anchor import BestAnchor
from training.losses.criterion import StepContext
from training.losses.yolov4 import Gains, YOLOv4Criterion
from training.recipes import recipe_of

PLACE, REST = slice(0, 4), slice(4, None)
ORIGINAL = {  # of each variant of the case: scale_xy, shape IoU, gains, measure
    "ciou": (SCALE_XY, 0.213, Gains(), boxes.ciou),
    "giou_smooth": (SCALE_XY, 0.213, Gains(smoothing=0.1), boxes.giou),
    "mse_v3like": ((1.0, 1.0, 1.0), 1.0, Gains(box=1.0), None),
}


def reaching_head(num_classes: int = 3) -> YOLOv4Head:
    return YOLOv4Head((1, 1, 1), num_classes, ANCHORS, STRIDES, SCALE_XY)


def logistic_head(num_classes: int = 3) -> ScaledYOLOv4Head:
    return ScaledYOLOv4Head((1, 1, 1), num_classes, ANCHORS, STRIDES)


def original(case: Network, variant: str) -> YOLOv4Criterion:
    scale_xy, also_above, gains, measure = ORIGINAL[variant]
    head = YOLOv4Head((1, 1, 1), 3, case.anchors, STRIDES, scale_xy)
    return YOLOv4Criterion(bare(head), BestAnchor(0.7, also_above), gains, measure)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", ORIGINAL)
def test_objectness_and_classes_learn_as_in_darknet(shared: Path, variant: str, dtype: torch.dtype) -> None:
    case = Network(shared, "yolov4")
    case.check(original(case, variant), variant, dtype, REST)


@pytest.mark.parametrize("dtype", DTYPES)
def test_boxes_may_learn_as_in_yolov3(shared: Path, dtype: torch.dtype) -> None:
    case = Network(shared, "yolov4")
    case.check(original(case, "mse_v3like"), "mse_v3like", dtype)
    layer = Layer(shared, "v3_ab")
    assigner, gains = BestAnchor(layer.options["ignore_thresh"]), Gains(box=0.75, average=False)
    layer.check(YOLOv4Criterion(bare(layer.yolo_head()), assigner, gains, None), dtype, STRIDES)


def test_gradients_of_boxes_are_darknets_with_the_derivatives_that_it_leaves_out(shared: Path) -> None:
    """Darknet's, for GIoU of boxes that overlap: x and y as of shares of the canvas, w and h twice those."""
    case = Network(shared, "yolov4")
    criterion = original(case, "giou_smooth")
    raw = case.raw(torch.float64)
    predictions = criterion.read([x.movedim(2, 4) for x in raw])
    assigned = criterion.assigner(predictions, case.targets)
    place = (assigned.image, assigned.row)
    gradients, deltas = (
        torch.cat([x.movedim(2, 4).flatten(1, 3) for x in each], dim=1)[place][:, PLACE]
        for each in (
            case.run(criterion, torch.float64),
            [torch.from_numpy(case.arrays[f"giou_smooth__delta{i}"]).double() for i in range(3)],
        )
    )
    priors, score = predictions.priors[assigned.row], predictions.raw[place][:, :2].sigmoid()
    left_out = torch.cat([priors[:, 5:] * score * (1 - score) * priors[:, 2:3], priors[:, 3:5] / 2], dim=1) / 160
    assert (boxes.iou(predictions.boxes[place], case.targets.boxes[assigned.target]) > 0).all()
    torch.testing.assert_close(gradients, -deltas * left_out, rtol=3e-5, atol=1e-9)


def test_the_box_loss_of_a_prediction_is_the_mean_over_its_classes() -> None:
    head = reaching_head()
    maps, assigner = random_maps(head), BestAnchor(0.7)
    rows = [[0, 0, 40, 40, 100, 100], [0, 1, 42, 42, 98, 98], [0, 1, 44, 44, 96, 96]]
    mean, summed = (YOLOv4Criterion(bare(head), assigner, Gains(average=each)) for each in (True, False))
    alone = [float(mean(maps, boxes_of([row]), StepContext()).parts["box"]) for row in rows]
    assert float(mean(maps, boxes_of(rows), StepContext()).parts["box"]) == pytest.approx(sum(alone) / 2)
    assert float(summed(maps, boxes_of(rows), StepContext()).parts["box"]) == pytest.approx(sum(alone))


def test_a_good_box_is_left_alone_only_if_it_claims_a_class() -> None:
    """An object that another anchor is better for, and a prediction that lies on it all the same."""
    head = reaching_head()
    maps = [m.detach().zero_().requires_grad_() for m in random_maps(head, images=1)]
    with torch.no_grad():
        maps[0][0, 0, 6, 6, 2:4] = torch.tensor([72.0 / 12, 146.0 / 16]).log()  # 72 x 146 by the smallest anchor
    middle = 6.5 * 8
    targets = boxes_of([[0, 0, middle - 36, middle - 73, middle + 36, middle + 73]])
    criterion = YOLOv4Criterion(bare(head), BestAnchor(0.7))
    silent = []
    for logit in (-1.0, -1.2):  # probabilities 0.27 and 0.23
        with torch.no_grad():
            maps[0][0, 0, 6, 6, 5:] = logit
        (gradient,) = torch.autograd.grad(criterion(maps, targets, StepContext()).total, maps[:1])
        silent.append(bool(gradient[0, 0, 6, 6, 4] == 0))
    assert silent == [True, False]


def test_scaled_heads_learn_the_overlap_as_objectness() -> None:
    head = logistic_head()
    maps, targets = random_maps(head, images=1), boxes_of([[0, 1, 40, 40, 72, 72]])
    criterion = YOLOv4Criterion(bare(head))
    criterion(maps, targets, StepContext()).total.backward()
    predictions = criterion.read(maps)
    assigned = criterion.assigner(predictions, targets)
    place = (assigned.image, assigned.row)
    gradients = torch.cat([m.grad.flatten(1, 3) for m in maps if m.grad is not None], dim=1)[place][:, 4]
    wanted = boxes.iou(predictions.boxes[place], targets.boxes[assigned.target])
    torch.testing.assert_close(gradients, predictions.raw[place][:, 4].detach().sigmoid() - wanted)
    assert 0 < wanted.min() < wanted.max() < 1


def test_an_anchor_of_two_levels_learns_on_both() -> None:
    head = YOLOv4Head((1, 1), 3, TINY_ANCHORS, (16, 32), TINY_SCALE_XY)
    maps = [m.detach().zero_().requires_grad_() for m in random_maps(head, images=1)]
    YOLOv4Criterion(bare(head), BestAnchor())(maps, boxes_of([[0, 0, 10, 10, 91, 92]]), StepContext()).total.backward()
    raised = [(m.grad[..., 4] < 0).nonzero().tolist() for m in maps if m.grad is not None]
    assert raised == [[[0, 2, 3, 3]], [[0, 0, 1, 1]]]


@pytest.mark.parametrize("make", [reaching_head, logistic_head])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_any_scene_has_finite_losses(make: type[Head], scene: str, num_classes: int) -> None:
    head = make(num_classes)
    losses = learn(YOLOv4Criterion(bare(head)), random_maps(head), boxes_of(SCENES[scene]))
    assert (losses.parts["box"] > 0) == bool(SCENES[scene])


def test_a_batch_costs_what_its_images_do() -> None:
    head = reaching_head()
    maps, criterion, targets = random_maps(head), YOLOv4Criterion(bare(head)), boxes_of(SCENES["crowded"])
    alone = [criterion([m[i : i + 1] for m in maps], of_image(targets, i), StepContext()).total for i in range(2)]
    torch.testing.assert_close(criterion(maps, targets, StepContext()).total, torch.stack(alone).sum())


def test_small_boxes_far_from_the_origin_lose_nothing_in_float32() -> None:
    head = reaching_head()
    shift = 1024.0
    near, far = (
        random_maps(head, images=1, size=(64, 64)),
        [torch.zeros(1, 3, 1088 // s, 1088 // s, 8) for s in STRIDES],
    )
    offset = [int(shift) // s for s in STRIDES]
    far = [torch.nn.functional.pad(m, (0, 0, o, 0, o, 0)) for m, o in zip(near, offset, strict=True)]
    box = np.array([30.0, 30.0, 36.0, 38.0])
    gradients = []
    for maps, place in ((near, box), (far, box + shift)):
        leaf = maps[0].detach().requires_grad_()
        parts = YOLOv4Criterion(bare(head), BestAnchor(1.0))(
            [leaf, *maps[1:]], boxes_of([[0, 0, *place]]), StepContext()
        )
        parts.total.backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad[:, :, -8:, -8:, :4])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-9)


def test_the_recipe_is_darknets() -> None:
    recipe = recipe_of("yolov4-tiny")
    assert (recipe.optimizer.lr, recipe.optimizer.momentum, recipe.reduction) == (1.3e-3, 0.949, "per_image")
    assert (recipe.augmentation.mosaic, recipe.augmentation.mosaic_canvas) == (1.0, 1)
    assert [round(share * 500.5) for share in recipe.schedule.milestones] == [400, 450]


@pytest.mark.parametrize("variant", ["yolov4-test", "yolov4-csp-test"])
def test_an_image_is_learned_by_heart(variant: str) -> None:
    overfit(variant, recipe_of(variant), size=64, steps=150, lr=0.02)
