"""Rows and overlaps of the predictions of Darknet's anchor heads."""

from __future__ import annotations

import pytest
import torch

from model_zoo.families.yolov3 import ANCHORS
from model_zoo.heads.darknet import YOLOHead
from tests.training.cell_cases import SCENES, targets_of
from tests.training.losses.darknet_cases import STRIDES, head_only, of_image, random_maps
from training.assign import anchor_slots
from training.assign.anchor_slots import AnchorPredictions, max_overlaps, slot_rows
from training.boxes import pairwise_iou
from training.losses.darknet import Reader

FLAT = [size for level in ANCHORS for size in level]


def predictions_of(images: int = 1, size: tuple[int, int] = (160, 160), seed: int = 0) -> AnchorPredictions:
    head = YOLOHead((1, 1, 1), 3, ANCHORS, STRIDES)
    return Reader(head_only(head))(random_maps(head, images, size, seed))


@pytest.mark.parametrize("size", [(160, 160), (96, 160), (160, 64)])
def test_slot_rows_equal_the_rows_of_the_head(size: tuple[int, int]) -> None:
    predictions = predictions_of(size=size)
    boxes = torch.tensor([[40.0, 50.0, 44.0, 58.0], [0.0, 0.0, 2.0, 2.0], [30.0, 80.0, 50.0, 82.0]])
    rows = slot_rows(predictions.levels, boxes)
    found = predictions.priors[rows]
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    assert torch.equal(found[..., :2], (centers / found[..., 2:3]).floor())
    assert found[0, :, 3:].tolist() == [list(anchor) for anchor in FLAT]


def test_center_on_or_beyond_the_border_counts_for_the_nearest_cell() -> None:
    predictions = predictions_of(size=(96, 160))
    boxes = torch.tensor([[150.0, 86.0, 170.0, 106.0], [-30.0, -30.0, 10.0, 10.0]])
    cells = predictions.priors[slot_rows(predictions.levels, boxes), :2]
    assert cells[0, ::3].tolist() == [[19, 11], [9, 5], [4, 2]]
    assert not cells[1].any()


def test_max_overlaps_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, targets = predictions_of(images=2), targets_of(SCENES["crowded"])
    monkeypatch.setattr(anchor_slots, "CHUNK_OBJECTS", 7)
    best = max_overlaps(predictions.boxes, targets)
    for image in range(2):
        own = of_image(targets, image).boxes
        torch.testing.assert_close(best[image], pairwise_iou(own, predictions.boxes[image]).amax(0))
