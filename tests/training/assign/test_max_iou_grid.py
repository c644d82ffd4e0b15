"""MMDetection's assigner for YOLOv3: assignments in hand-made scenes. See test_yolov3_mmdet for the original's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_zoo.families.yolov3 import ANCHORS
from model_zoo.heads.darknet import YOLOHead
from tests.training.cell_cases import SCENES, targets_of
from tests.training.losses.darknet_cases import STRIDES, head_only, of_image, random_maps
from training.assign.anchor_slots import AnchorPredictions, slot_rows
from training.assign.max_iou_grid import MaxIoUGrid
from training.boxes import cxcywh_to_xyxy, pairwise_iou
from training.losses.darknet import Reader


def predictions_of(images: int = 1) -> AnchorPredictions:
    head = YOLOHead((1, 1, 1), 3, ANCHORS, STRIDES)
    return Reader(head_only(head))(random_maps(head, images))


def anchor_boxes(predictions: AnchorPredictions) -> Tensor:
    cells, strides, sizes = predictions.priors[:, :2], predictions.priors[:, 2:3], predictions.priors[:, 3:]
    return cxcywh_to_xyxy(torch.cat([(cells + 0.5) * strides, sizes], dim=1))


def row_of(predictions: AnchorPredictions, *prior: float) -> int:
    return int((predictions.priors == torch.tensor(prior)).all(1).nonzero())


def test_object_equal_to_an_anchor_box_is_assigned_to_it() -> None:
    predictions = predictions_of()
    row = row_of(predictions, 4, 5, 16, 59, 119)
    box = anchor_boxes(predictions)[row]
    assigned = MaxIoUGrid()(predictions, targets_of([[0, 0, *box.tolist()]]))
    assert row in assigned.row.tolist()
    overlap = pairwise_iou(box[None], anchor_boxes(predictions))[0]
    assert torch.equal(assigned.ignored[0], overlap > 0.5)
    in_cell = set(slot_rows(predictions.levels, box[None])[0].tolist())
    assert set(assigned.row.tolist()) == {r for r in in_cell if overlap[r] > 0.5}


def test_object_unlike_any_anchor_is_assigned_to_the_best_of_its_cells() -> None:
    predictions = predictions_of()
    targets = targets_of([[0, 0, 20, 79, 140, 82]])
    assigned = MaxIoUGrid()(predictions, targets)
    overlap = pairwise_iou(targets.boxes, anchor_boxes(predictions))[0]
    rows = slot_rows(predictions.levels, targets.boxes)[0]
    assert overlap.max() < 0.5
    assert assigned.row.tolist() == [int(rows[overlap[rows].argmax()])]
    assert not assigned.ignored.any()


def test_anchors_with_equal_iou_are_all_assigned() -> None:
    predictions = predictions_of()
    twin = predictions.priors.clone()
    twin[twin[:, 3] == 16, 3:] = torch.tensor([10.0, 13.0])  # two anchors of one size
    predictions = predictions._replace(priors=twin)
    assigned = MaxIoUGrid()(predictions, targets_of([[0, 0, 75, 75, 80, 80]]))
    assert len(assigned.row) == 2
    assert predictions.priors[assigned.row, 3:].tolist() == [[10, 13]] * 2


def test_last_object_wins_a_shared_best_anchor() -> None:
    predictions = predictions_of()
    assigned = MaxIoUGrid()(predictions, targets_of([[0, 0, 20, 79, 140, 82], [0, 1, 21, 79, 139, 82]]))
    assert assigned.target.tolist() == [1]


def test_predicted_boxes_do_not_matter() -> None:
    predictions, targets = predictions_of(images=2), targets_of(SCENES["crowded"])
    moved = predictions._replace(boxes=predictions.boxes + 50)
    assert all(
        torch.equal(*pair) for pair in zip(*(MaxIoUGrid()(p, targets) for p in (predictions, moved)), strict=True)
    )


@pytest.mark.parametrize("scene", SCENES)
def test_batch_equals_single_images(scene: str) -> None:
    predictions, targets = predictions_of(images=2), targets_of(SCENES[scene])
    together = MaxIoUGrid()(predictions, targets)
    for image in range(2):
        alone = MaxIoUGrid()(predictions._replace(boxes=predictions.boxes[:1]), of_image(targets, image))
        in_image = together.image == image
        before = int((targets.image_index < image).sum())
        assert torch.equal(together.row[in_image], alone.row)
        assert torch.equal(together.target[in_image] - before, alone.target)
        assert torch.equal(together.ignored[image], alone.ignored[0])
    assert len(together.row) == len(set(zip(together.image.tolist(), together.row.tolist(), strict=True)))
