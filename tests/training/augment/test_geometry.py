"""Boxes under perspective."""

from __future__ import annotations

import numpy as np

from training.augment.geometry import Affine, about_center, warp_boxes


def test_box_behind_the_viewpoint_becomes_empty() -> None:
    matrix = about_center(Affine(perspective=(0.01, 0.0)), (400, 400), (400, 400))
    boxes = warp_boxes(np.float64([[0, 0, 50, 50], [190, 190, 210, 210]]), matrix, (400, 400))
    np.testing.assert_array_equal(boxes[0], 0)
    assert (boxes[1, 2:] > boxes[1, :2]).all()
