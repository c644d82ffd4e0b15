"""Darknet's assigner, and the rows it shares with MMDetection's: who learns what in scenes made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_zoo.families.yolov3 import ANCHORS
from model_zoo.heads.darknet import YOLOHead
from tests.training.cell_cases import SCENES, targets_of
from tests.training.losses.darknet_cases import STRIDES, bare, of_image, random_maps
from training.assign.anchor_slots import AnchorPredictions, slot_rows
from training.assign.base import RowAssignment
from training.assign.best_anchor import BestAnchor
from training.boxes import pairwise_iou
from training.losses.darknet import Reader

FLAT = [size for level in ANCHORS for size in level]


def predictions_of(images: int = 1, size: tuple[int, int] = (160, 160), seed: int = 0) -> AnchorPredictions:
    head = YOLOHead((1, 1, 1), 3, ANCHORS, STRIDES)
    return Reader(bare(head))(random_maps(head, images, size, seed))


def box_about(x: float, y: float, width: float, height: float) -> list[float]:
    return [0, 0, x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def places(assigned: RowAssignment, priors: Tensor) -> list[list[float]]:
    """Cell x, cell y, stride, anchor width, anchor height of the entries."""
    return priors[assigned.row].tolist()


@pytest.mark.parametrize("slot", range(9))
def test_an_object_of_an_anchors_size_is_learned_by_that_anchor_alone(slot: int) -> None:
    predictions = predictions_of()
    assigned = BestAnchor()(predictions, targets_of([box_about(81, 79, *FLAT[slot])]))
    stride = STRIDES[slot // 3]
    assert places(assigned, predictions.priors) == [[81 // stride, 79 // stride, stride, *FLAT[slot]]]


def test_anchors_above_a_shape_iou_learn_too() -> None:
    targets = targets_of([box_about(81, 79, 59, 119)])
    predictions = predictions_of()
    assigned = BestAnchor(also_above=0.213)(predictions, targets)
    learned = {tuple(place[3:]) for place in places(assigned, predictions.priors)}
    area = 59 * 119
    shape_iou = {(w, h): min(w, 59) * min(h, 119) / (w * h + area - min(w, 59) * min(h, 119)) for w, h in FLAT}
    assert learned == {size for size, overlap in shape_iou.items() if overlap > 0.213}
    assert (59, 119) in learned
    assert 1 < len(learned) < 9
    assert set(assigned.target.tolist()) == {0}


def test_predictions_that_overlap_an_object_well_are_no_negatives() -> None:
    predictions = predictions_of()
    own = predictions.boxes[0, 700]
    targets = targets_of([[0, 0, *own.tolist()]])
    overlap = pairwise_iou(targets.boxes, predictions.boxes[0])[0]
    for threshold in (0.5, 0.7):
        assert torch.equal(BestAnchor(threshold)(predictions, targets).ignored[0], overlap > threshold)


def test_a_prediction_that_overlaps_an_object_well_may_learn_it() -> None:
    predictions = predictions_of(images=2)
    own = [predictions.boxes[image, 700].tolist() for image in (0, 1)]
    targets = targets_of([[0, 0, 1, 1, 2, 2], [0, 0, *own[0]], [1, 0, 1, 1, 2, 2], [1, 0, *own[1]]])
    few, more = (BestAnchor(learn_above=each)(predictions, targets) for each in (1.0, 0.99))
    assert len(few.row) == 4
    assert list(zip(more.image.tolist(), more.row.tolist(), more.target.tolist(), strict=True))[:2] == [
        (0, 700, 1),
        (1, 700, 3),
    ]
    assert torch.equal(more.row[2:], few.row)


def test_shapes_may_be_those_that_are_predicted() -> None:
    predictions = predictions_of()
    targets = targets_of([box_about(81, 79, 59, 119)])
    row = int(slot_rows(predictions.levels, targets.boxes)[0, 2])  # the third anchor of the first level
    predictions.boxes[0, row] = targets.boxes[0] + 300
    assert BestAnchor(by_prediction=True)(predictions, targets).row.tolist() == [row]
    assert BestAnchor()(predictions, targets).row.tolist() != [row]


@pytest.mark.parametrize("scene", SCENES)
def test_a_batch_is_assigned_as_its_images_are(scene: str) -> None:
    predictions, targets = predictions_of(images=2), targets_of(SCENES[scene])
    together = BestAnchor(0.5, 0.213)(predictions, targets)
    for image in range(2):
        alone = predictions._replace(boxes=predictions.boxes[image : image + 1])
        assigned = BestAnchor(0.5, 0.213)(alone, of_image(targets, image))
        mine = together.image == image
        before = int((targets.image_index < image).sum())
        assert torch.equal(together.row[mine], assigned.row)
        assert torch.equal(together.target[mine] - before, assigned.target)
        assert torch.equal(together.ignored[image], assigned.ignored[0])
