"""Random color changes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng

from tests.training.augment.image_cases import make_images
from training.augment.color import apply_color, draw_color, gain_table
from training.recipe import Augmentation


def test_gains_of_one_keep_the_image() -> None:
    pixels = make_images(1)[0].pixels
    np.testing.assert_array_equal(apply_color(pixels, gain_table(np.ones(3))), pixels)


@pytest.mark.parametrize("form", ["gains", "levels", "factors"])
def test_color_changes_stay_in_their_range(form: str) -> None:
    limits = {"levels": (5, 30, 30)}.get(form, (0.1, 0.5, 0.4))
    recipe = Augmentation(color=form, hue=limits[0], saturation=limits[1], value=limits[2])
    tables = np.stack([draw_color(recipe, default_rng(seed)) for seed in range(200)]).astype(int)
    assert tables[..., 0].max() < 180
    assert len(np.unique(tables[:, 100], axis=0)) > 50
    low, high = {"gains": (60, 140), "levels": (70, 130), "factors": (100 / 1.4, 140)}[form]
    values = tables[:, 100, 2]
    assert low - 1 <= values.min() < low + 8
    assert high - 8 < values.max() <= high
