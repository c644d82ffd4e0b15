"""Image sheets of any number and shape of images are bounded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training.batch import Batch, Targets
from training.report import images
from training.report.images import batch_sheet, draw_labeled, encode_jpeg, make_sheet

NAMES = ("cat", "d" * 300)
SHAPES = [(2000, 100), (100, 2000), (5000, 1), (1, 5000), (1, 1), (30_000, 2), (2, 30_000), (64, 96)]
BOX = np.asarray([[0, 0, 1, 1]], np.float32)
MAX_HEIGHT, MAX_WIDTH = images.MAX_HEIGHT + images.GAP, images.WIDTH + images.GAP


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, dtype=np.uint8)


def test_sheet_arranges_images_of_any_shape() -> None:
    tall, wide = np.zeros((90, 30, 3), np.uint8), np.full((30, 90, 3), 200, np.uint8)
    sheet = make_sheet([tall, wide, wide], columns=2)
    assert sheet.shape == (960 + 6 + 160 + 6, 2 * 486, 3)
    assert (sheet[0, 0] == 0).all()
    assert (sheet[5, 486] == 200).all()
    assert (sheet[500, 400] == 255).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_sheet_of_any_shape_fits_a_jpeg(shape: tuple[int, int]) -> None:
    drawn = draw_labeled(gray(*shape), BOX, np.asarray([1]), NAMES, [" (crowd)"])
    sheet = make_sheet([drawn] * 8, columns=2)
    assert sheet.shape[0] <= 4 * MAX_HEIGHT
    assert sheet.shape[1] <= 2 * MAX_WIDTH
    assert cv2.imdecode(np.frombuffer(encode_jpeg(sheet), np.uint8), cv2.IMREAD_COLOR).shape == sheet.shape


def test_columns_are_as_wide_as_their_images() -> None:
    assert make_sheet([gray(2000, 100)] * 3, columns=2).shape[1] == 2 * (48 + 6)
    assert make_sheet([gray(10, 10)], columns=4).shape[1] == 486, "no empty columns"


def test_number_of_images_is_limited_without_reading_the_others() -> None:
    read = []

    def endless():
        while True:
            read.append(0)
            yield gray(64, 48)

    assert make_sheet(endless(), columns=1).shape[0] == images.MAX_IMAGES * (640 + 6)
    assert len(read) == images.MAX_IMAGES


def test_empty_sheet_can_be_encoded() -> None:
    assert encode_jpeg(make_sheet([], columns=4))


def test_boxes_are_scaled_with_their_image() -> None:
    drawn = draw_labeled(gray(48, 48), np.asarray([[0, 24, 48, 48]], np.float32), np.asarray([0]), NAMES)
    assert drawn.shape == (480, 480, 3)
    assert (drawn[:220] == 90).all(), "box and label are in the lower half"
    assert (drawn[479, 240] != 90).any()


def test_batch_sheet_labels_its_boxes() -> None:
    targets = Targets(torch.tensor([0]), torch.tensor([1]), torch.tensor([[8.0, 8, 60, 60]]))
    batch = Batch(torch.full((2, 64, 64, 3), 90, dtype=torch.uint8), targets)
    sheet = batch_sheet(batch, NAMES)
    assert sheet.shape == (486, 2 * 486, 3)
    assert (sheet[:480, :480] != 90).any()
    assert (sheet[:480, 486 : 486 + 480] == 90).all(), "the second image has no boxes"
