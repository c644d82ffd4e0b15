"""Darknet's assigner: assignments in hand-made scenes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_zoo.families.yolov3 import ANCHORS
from model_zoo.heads.darknet import YOLOHead
from tests.training.cell_cases import SCENES, targets_of
from tests.training.losses.darknet_cases import STRIDES, head_only, of_image, random_maps
from training.assign.anchor_slots import AnchorPredictions, slot_rows
from training.assign.base import RowAssignment
from training.assign.best_anchor import BestAnchor
from training.boxes import pairwise_iou
from training.losses.darknet import Reader

FLAT = [size for level in ANCHORS for size in level]


def predictions_of(images: int = 1, size: tuple[int, int] = (160, 160), seed: int = 0) -> AnchorPredictions:
    head = YOLOHead((1, 1, 1), 3, ANCHORS, STRIDES)
    return Reader(head_only(head))(random_maps(head, images, size, seed))


def box_about(x: float, y: float, width: float, height: float) -> list[float]:
    return [0, 0, x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def priors_of(assigned: RowAssignment, priors: Tensor) -> list[list[float]]:
    """Return cell x, cell y, stride, anchor width and anchor height of the entries."""
    return priors[assigned.row].tolist()


@pytest.mark.parametrize("slot", range(9))
def test_object_of_an_anchors_size_is_assigned_to_that_anchor_only(slot: int) -> None:
    predictions = predictions_of()
    assigned = BestAnchor()(predictions, targets_of([box_about(81, 79, *FLAT[slot])]))
    stride = STRIDES[slot // 3]
    assert priors_of(assigned, predictions.priors) == [[81 // stride, 79 // stride, stride, *FLAT[slot]]]


def test_anchors_above_a_shape_iou_are_assigned_too() -> None:
    targets = targets_of([box_about(81, 79, 59, 119)])
    predictions = predictions_of()
    assigned = BestAnchor(also_above=0.213)(predictions, targets)
    assigned_sizes = {tuple(prior[3:]) for prior in priors_of(assigned, predictions.priors)}
    area = 59 * 119
    shape_iou = {(w, h): min(w, 59) * min(h, 119) / (w * h + area - min(w, 59) * min(h, 119)) for w, h in FLAT}
    assert assigned_sizes == {size for size, overlap in shape_iou.items() if overlap > 0.213}
    assert (59, 119) in assigned_sizes
    assert 1 < len(assigned_sizes) < 9
    assert set(assigned.target.tolist()) == {0}


def test_predictions_above_an_iou_are_ignored() -> None:
    predictions = predictions_of()
    own = predictions.boxes[0, 700]
    targets = targets_of([[0, 0, *own.tolist()]])
    overlap = pairwise_iou(targets.boxes, predictions.boxes[0])[0]
    for threshold in (0.5, 0.7):
        assert torch.equal(BestAnchor(threshold)(predictions, targets).ignored[0], overlap > threshold)


def test_predictions_above_an_iou_may_learn_the_object() -> None:
    predictions = predictions_of(images=2)
    own = [predictions.boxes[image, 700].tolist() for image in (0, 1)]
    targets = targets_of([[0, 0, 1, 1, 2, 2], [0, 0, *own[0]], [1, 0, 1, 1, 2, 2], [1, 0, *own[1]]])
    plain, extended = (BestAnchor(learn_above=each)(predictions, targets) for each in (1.0, 0.99))
    assert len(plain.row) == 4
    assert list(zip(extended.image.tolist(), extended.row.tolist(), extended.target.tolist(), strict=True))[:2] == [
        (0, 700, 1),
        (1, 700, 3),
    ]
    assert torch.equal(extended.row[2:], plain.row)


def test_comparing_predicted_shapes() -> None:
    predictions = predictions_of()
    targets = targets_of([box_about(81, 79, 59, 119)])
    row = int(slot_rows(predictions.levels, targets.boxes)[0, 2])  # the third anchor of the first level
    predictions.boxes[0, row] = targets.boxes[0] + 300
    assert BestAnchor(by_prediction=True)(predictions, targets).row.tolist() == [row]
    assert BestAnchor()(predictions, targets).row.tolist() != [row]


@pytest.mark.parametrize("scene", SCENES)
def test_batch_equals_single_images(scene: str) -> None:
    predictions, targets = predictions_of(images=2), targets_of(SCENES[scene])
    together = BestAnchor(0.5, 0.213)(predictions, targets)
    for image in range(2):
        alone = predictions._replace(boxes=predictions.boxes[image : image + 1])
        assigned = BestAnchor(0.5, 0.213)(alone, of_image(targets, image))
        in_image = together.image == image
        before = int((targets.image_index < image).sum())
        assert torch.equal(together.row[in_image], assigned.row)
        assert torch.equal(together.target[in_image] - before, assigned.target)
        assert torch.equal(together.ignored[image], assigned.ignored[0])
