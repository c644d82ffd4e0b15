"""Two sets of detections on one image, side by side."""

from __future__ import annotations

import numpy as np

from model_zoo.contract.detection_diff import pair_detections
from model_zoo.contract.detections import Detections
from model_zoo.contract.diff_drawing import COLORS, GAP, draw_differences
from tests.model_zoo.contract.detection_rows import CAT, NAMES, Row, detections

BLACK = np.zeros((200, 300, 3), dtype=np.uint8)
DOG: Row = (150, 50, 280, 180, 0.8, 1)


def drawn(first: Detections, second: Detections) -> tuple[np.ndarray, np.ndarray]:
    sheet = draw_differences(BLACK, first, second, pair_detections(first, second, NAMES, NAMES))
    assert sheet.shape == (200, 600 + GAP, 3)
    return sheet[:, :300], sheet[:, 300 + GAP :]


def has_color(half: np.ndarray, kind: str) -> bool:
    return bool((half == COLORS[kind]).all(axis=-1).any())  # type: ignore[index]


def test_each_half_shows_its_differences() -> None:
    left, right = drawn(detections(CAT), detections(DOG))
    assert (has_color(left, "lost"), has_color(left, "found")) == (True, False)
    assert (has_color(right, "lost"), has_color(right, "found")) == (False, True)


def test_equal_detections_are_gray_without_a_label() -> None:
    left, right = drawn(detections(CAT), detections(CAT))
    assert np.array_equal(left, right)
    assert set(map(tuple, left.reshape(-1, 3).tolist())) == {(0, 0, 0), COLORS["same"]}


def test_large_images_are_scaled_with_their_boxes() -> None:
    image, box = np.zeros((2000, 3000, 3), dtype=np.uint8), detections((1500, 1000, 2990, 1990, 0.9, 0))
    sheet = draw_differences(image, box, detections(), pair_detections(box, detections(), NAMES, NAMES))
    assert sheet.shape == (427, 2 * 640 + GAP, 3)
    ys, xs = np.nonzero((sheet == COLORS["lost"]).all(axis=-1))
    assert (xs.max(), ys.max()) > (620, 410)
    assert xs.max() < 640
