"""The criterion of YOLOv4: Darknet's assignments and gradients, true gradients of boxes, and unusual scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.detector import Head
from model_zoo.families.yolov4 import ANCHORS, SCALE_XY, TINY_ANCHORS, TINY_SCALE_XY
from model_zoo.heads.darknet import ScaledYOLOv4Head, YOLOv4Head
from tests.training.cell_cases import SCENES, run_criterion, targets_of
from tests.training.losses.anchor_cases import overfit
from tests.training.losses.darknet_cases import DTYPES, STRIDES, Layer, Network, head_only, of_image, random_maps
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


def yolov4_head(num_classes: int = 3) -> YOLOv4Head:
    return YOLOv4Head((1, 1, 1), num_classes, ANCHORS, STRIDES, SCALE_XY)


def scaled_head(num_classes: int = 3) -> ScaledYOLOv4Head:
    return ScaledYOLOv4Head((1, 1, 1), num_classes, ANCHORS, STRIDES)


def original(case: Network, variant: str) -> YOLOv4Criterion:
    scale_xy, also_above, gains, measure = ORIGINAL[variant]
    head = YOLOv4Head((1, 1, 1), 3, case.anchors, STRIDES, scale_xy)
    return YOLOv4Criterion(head_only(head), BestAnchor(0.7, also_above), gains, measure)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", ORIGINAL)
def test_gradients_of_objectness_and_classes_match_darknet(shared: Path, variant: str, dtype: torch.dtype) -> None:
    case = Network(shared, "yolov4")
    case.check(original(case, variant), variant, dtype, REST)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_yolov3_errors_match_darknet(shared: Path, dtype: torch.dtype) -> None:
    case = Network(shared, "yolov4")
    case.check(original(case, "mse_v3like"), "mse_v3like", dtype)
    layer = Layer(shared, "v3_ab")
    assigner, gains = BestAnchor(layer.options["ignore_thresh"]), Gains(box=0.75, average=False)
    layer.check(YOLOv4Criterion(head_only(layer.yolo_head()), assigner, gains, None), dtype, STRIDES)


def test_gradients_of_boxes_match_darknet_times_its_omitted_derivatives(shared: Path) -> None:
    """For GIoU of overlapping boxes. Darknet's are relative to the canvas, with a factor of 2 for w and h."""
    case = Network(shared, "yolov4")
    criterion = original(case, "giou_smooth")
    raw = case.raw(torch.float64)
    predictions = criterion.read([x.movedim(2, 4) for x in raw])
    assigned = criterion.assigner(predictions, case.targets)
    index = (assigned.image, assigned.row)
    gradients, deltas = (
        torch.cat([x.movedim(2, 4).flatten(1, 3) for x in each], dim=1)[index][:, PLACE]
        for each in (
            case.run(criterion, torch.float64),
            [torch.from_numpy(case.arrays[f"giou_smooth__delta{i}"]).double() for i in range(3)],
        )
    )
    priors, score = predictions.priors[assigned.row], predictions.raw[index][:, :2].sigmoid()
    omitted = torch.cat([priors[:, 5:] * score * (1 - score) * priors[:, 2:3], priors[:, 3:5] / 2], dim=1) / 160
    assert (boxes.iou(predictions.boxes[index], case.targets.boxes[assigned.target]) > 0).all()
    torch.testing.assert_close(gradients, -deltas * omitted, rtol=3e-5, atol=1e-9)


def test_box_loss_of_a_prediction_is_averaged_over_its_classes() -> None:
    head = yolov4_head()
    maps, assigner = random_maps(head), BestAnchor(0.7)
    rows = [[0, 0, 40, 40, 100, 100], [0, 1, 42, 42, 98, 98], [0, 1, 44, 44, 96, 96]]
    mean, summed = (YOLOv4Criterion(head_only(head), assigner, Gains(average=each)) for each in (True, False))
    alone = [float(mean(maps, targets_of([row]), StepContext()).parts["box"]) for row in rows]
    assert float(mean(maps, targets_of(rows), StepContext()).parts["box"]) == pytest.approx(sum(alone) / 2)
    assert float(summed(maps, targets_of(rows), StepContext()).parts["box"]) == pytest.approx(sum(alone))


def test_overlapping_prediction_is_ignored_only_with_a_class_score() -> None:
    """A prediction overlaps an object that is assigned to another anchor."""
    head = yolov4_head()
    maps = [m.detach().zero_().requires_grad_() for m in random_maps(head, images=1)]
    with torch.no_grad():
        maps[0][0, 0, 6, 6, 2:4] = torch.tensor([72.0 / 12, 146.0 / 16]).log()  # 72 x 146 by the smallest anchor
    center = 6.5 * 8
    targets = targets_of([[0, 0, center - 36, center - 73, center + 36, center + 73]])
    criterion = YOLOv4Criterion(head_only(head), BestAnchor(0.7))
    ignored = []
    for logit in (-1.0, -1.2):  # probabilities 0.27 and 0.23
        with torch.no_grad():
            maps[0][0, 0, 6, 6, 5:] = logit
        (gradient,) = torch.autograd.grad(criterion(maps, targets, StepContext()).total, maps[:1])
        ignored.append(bool(gradient[0, 0, 6, 6, 4] == 0))
    assert ignored == [True, False]


def test_objectness_of_scaled_heads_learns_the_iou() -> None:
    head = scaled_head()
    maps, targets = random_maps(head, images=1), targets_of([[0, 1, 40, 40, 72, 72]])
    criterion = YOLOv4Criterion(head_only(head))
    criterion(maps, targets, StepContext()).total.backward()
    predictions = criterion.read(maps)
    assigned = criterion.assigner(predictions, targets)
    index = (assigned.image, assigned.row)
    gradients = torch.cat([m.grad.flatten(1, 3) for m in maps if m.grad is not None], dim=1)[index][:, 4]
    overlaps = boxes.iou(predictions.boxes[index], targets.boxes[assigned.target])
    torch.testing.assert_close(gradients, predictions.raw[index][:, 4].detach().sigmoid() - overlaps)
    assert 0 < overlaps.min() < overlaps.max() < 1


def test_anchor_of_two_levels_is_assigned_on_both() -> None:
    head = YOLOv4Head((1, 1), 3, TINY_ANCHORS, (16, 32), TINY_SCALE_XY)
    maps = [m.detach().zero_().requires_grad_() for m in random_maps(head, images=1)]
    YOLOv4Criterion(head_only(head), BestAnchor())(
        maps, targets_of([[0, 0, 10, 10, 91, 92]]), StepContext()
    ).total.backward()
    positive = [(m.grad[..., 4] < 0).nonzero().tolist() for m in maps if m.grad is not None]
    assert positive == [[[0, 2, 3, 3]], [[0, 0, 1, 1]]]


@pytest.mark.parametrize("make", [yolov4_head, scaled_head])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_losses_are_finite(make: type[Head], scene: str, num_classes: int) -> None:
    head = make(num_classes)
    losses = run_criterion(YOLOv4Criterion(head_only(head)), random_maps(head), targets_of(SCENES[scene]))
    assert (losses.parts["box"] > 0) == bool(SCENES[scene])


def test_batch_loss_is_the_sum_over_images() -> None:
    head = yolov4_head()
    maps, criterion, targets = random_maps(head), YOLOv4Criterion(head_only(head)), targets_of(SCENES["crowded"])
    alone = [criterion([m[i : i + 1] for m in maps], of_image(targets, i), StepContext()).total for i in range(2)]
    torch.testing.assert_close(criterion(maps, targets, StepContext()).total, torch.stack(alone).sum())


def test_float32_gradients_do_not_depend_on_the_position() -> None:
    head = yolov4_head()
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
        parts = YOLOv4Criterion(head_only(head), BestAnchor(1.0))(
            [leaf, *maps[1:]], targets_of([[0, 0, *place]]), StepContext()
        )
        parts.total.backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad[:, :, -8:, -8:, :4])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-9)


def test_recipe_follows_darknet() -> None:
    recipe = recipe_of("yolov4-tiny")
    assert (recipe.optimizer.lr, recipe.optimizer.momentum, recipe.reduction) == (1.3e-3, 0.949, "per_image")
    assert (recipe.augmentation.mosaic, recipe.augmentation.mosaic_canvas) == (1.0, 1)
    assert [round(share * 500.5) for share in recipe.schedule.milestones] == [400, 450]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["yolov4-test", "yolov4-csp-test"])
def test_network_overfits_one_image(variant: str) -> None:
    overfit(variant, recipe_of(variant), size=64, steps=150, lr=0.02)
