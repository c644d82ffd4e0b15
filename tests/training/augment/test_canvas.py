"""Darknet's random crop."""

from __future__ import annotations

import numpy as np
from numpy.random import default_rng

from training.augment.canvas import draw_crop


def test_crop_moves_each_side_by_up_to_its_jitter() -> None:
    rng = default_rng(0)
    crops = [draw_crop((100, 200), 0.3, rng) for _ in range(300)]
    corners, sizes = (np.array(part) for part in zip(*crops, strict=True))
    sides = np.concatenate([-corners, sizes - corners], axis=1)  # top, left, and bottom, right
    np.testing.assert_allclose(sides.min(axis=0), [-29, -59, 71, 141], atol=2)
    np.testing.assert_allclose(sides.max(axis=0), [29, 59, 129, 259], atol=2)
