"""Synthetic images are reproducible."""

from __future__ import annotations

import numpy as np

from model_zoo.export.synthetic_images import synthetic_images


def test_synthetic_images_are_reproducible() -> None:
    first, second = (synthetic_images((64, 96), 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.std(axis=(1, 2, 3)).min() > 10
