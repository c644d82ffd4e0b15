"""Pixels as OpenCV warps them, and boxes under perspective."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.augment.geometry import Affine, about_center, warp, warp_boxes


@pytest.mark.parametrize("perspective", [(0.0, 0.0), (1e-3, -5e-4)])
def test_warped_pixels_equal_those_of_opencv(perspective: tuple[float, float]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    matrix = about_center(Affine(7.0, 0.8, (3.0, -2.0), (0.05, -0.1), perspective), (90, 120), (64, 96))
    expected = cv2.warpPerspective(pixels, matrix, (96, 64), borderValue=(114, 114, 114))
    np.testing.assert_array_equal(warp(pixels, matrix, (64, 96), 114), expected)


def test_box_behind_the_viewpoint_becomes_empty() -> None:
    matrix = about_center(Affine(perspective=(0.01, 0.0)), (400, 400), (400, 400))
    boxes = warp_boxes(np.float64([[0, 0, 50, 50], [190, 190, 210, 210]]), matrix, (400, 400))
    np.testing.assert_array_equal(boxes[0], 0)
    assert (boxes[1, 2:] > boxes[1, :2]).all()
