"""Mixup: ratio, blending, and the partner of YOLOX."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng

from tests.training.augment.image_cases import CENTER, NO_AUGMENTATION, SIZE, YOLOX, assert_valid, make_images
from training.augment import mixup
from training.augment.augmenter import Augmenter
from training.batch import Sample


def test_ratio_follows_the_beta_distribution() -> None:
    rng = default_rng(0)
    draws = np.array([mixup.draw_ratio(32, rng) for _ in range(400)])
    assert draws.mean() == pytest.approx(0.5, abs=0.02)
    assert draws.std() == pytest.approx((4 * 65) ** -0.5, rel=0.15)  # of Beta(32, 32)
    assert mixup.draw_ratio(0, rng) == 0.5


def test_blended_pixels_are_truncated_to_integers() -> None:
    values = np.arange(256, dtype=np.uint8)
    one = np.broadcast_to(values[:, None, None], (256, 256, 3)).copy()
    empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    samples = Sample(one, *empty), Sample(one.transpose(1, 0, 2).copy(), *empty)
    halves = mixup.blend(*samples, 0.5).pixels[..., 0]
    np.testing.assert_array_equal(halves, (values[:, None].astype(int) + values) // 2)
    np.testing.assert_array_equal(mixup.blend(samples[0], samples[0], 0.37).pixels, one)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_yolox_partner_is_scaled_and_cropped(factor: float) -> None:
    image = Augmenter(make_images(), NO_AUGMENTATION, SIZE, CENTER)(0, default_rng(0))
    recipe = replace(YOLOX, mixup_scale=(factor, factor), flip=0)
    for seed in range(10):
        partner = mixup.scale_and_crop(image, recipe, 114, default_rng(seed))
        assert_valid(partner, recipe)
        uncut = partner.boxes[(partner.boxes > 0).all(axis=1) & (partner.boxes[:, 2:] < (SIZE[1], SIZE[0])).all(axis=1)]
        sides = image.boxes[:, 2:] - image.boxes[:, :2]
        for box in uncut:
            assert np.abs(sides * factor - (box[2:] - box[:2])).max(axis=1).min() < 1
