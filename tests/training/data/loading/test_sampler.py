"""Batches depend only on seed, epoch and step: every image in every epoch, split between any number of ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.loading.sampler import BatchSampler, SampleSpec
from training.recipe import Augmentation

PLAIN = BatchSampler(images=50, augmentation=Augmentation(), image_size=(320, 320), stride=32, batch=16, seed=0)
MULTI_SCALE = replace(PLAIN, images=3000, augmentation=Augmentation(multi_scale=(0.5, 1.5), multi_scale_every=10))


def image_order(batches: list[list[SampleSpec]]) -> list[list[int]]:
    return [[spec.image for spec in batch] for batch in batches]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 4))
def test_every_epoch_has_every_image(count: int, batch: int, world: int) -> None:
    samplers = [replace(PLAIN, images=count, batch=batch, rank=rank, world=world) for rank in range(world)]
    ranks = [sampler.batches(3, close_mosaic=False) for sampler in samplers]
    assert {len(batches) for batches in ranks} == {samplers[0].steps}
    assert {len(specs) for batches in ranks for specs in batches} == {batch}
    images = [(spec.image, spec.repeat) for batches in ranks for specs in batches for spec in specs]
    assert len(set(images)) == len(images)  # a repeated image is augmented differently
    assert {image for image, repeat in images if repeat == 0} == set(range(count))
    assert len(images) - count < batch * world


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_batches_of_one_process(world: int) -> None:
    single = replace(PLAIN, batch=4 * world).batches(1, close_mosaic=False)
    ranks = [replace(PLAIN, batch=4, rank=rank, world=world).batches(1, close_mosaic=False) for rank in range(world)]
    assert [[spec for part in parts for spec in part] for parts in zip(*ranks, strict=True)] == single


def test_order_differs_between_epochs_and_seeds() -> None:
    orders = [image_order(PLAIN.batches(0, False)), image_order(PLAIN.batches(1, False))]
    orders.append(image_order(replace(PLAIN, seed=1).batches(0, False)))
    assert all(one != other for one in orders for other in orders if one is not other)
    assert image_order(PLAIN.batches(0, False)) == orders[0]


def test_epoch_resumes_at_any_step() -> None:
    assert MULTI_SCALE.batches(2, True, start_step=7) == MULTI_SCALE.batches(2, True)[7:]
    assert PLAIN.batches(0, False, start_step=PLAIN.steps) == []


def test_samples_have_independent_random_generators() -> None:
    spec = SampleSpec(seed=0, epoch=0, image=0, repeat=0, size=(320, 320), close_mosaic=False)
    others = [spec._replace(**{name: 1}) for name in ("seed", "epoch", "image", "repeat")]
    draws = [one.rng().random() for one in (spec, *others)]
    assert len(set(draws)) == 5
    assert spec.rng().random() == draws[0] == spec._replace(size=(64, 64), close_mosaic=True).rng().random()


def test_multi_scale_sizes_are_multiples_of_the_stride() -> None:
    sizes = [MULTI_SCALE.size(0, step) for step in range(MULTI_SCALE.steps)]
    assert {side for side, _ in sizes} == set(range(160, 481, 32))
    assert all(height == width for height, width in sizes)
    blocks = [set(sizes[first : first + 10]) for first in range(0, len(sizes), 10)]
    assert all(len(block) == 1 for block in blocks)
    assert all(len({spec.size for spec in batch}) == 1 for batch in MULTI_SCALE.batches(0, False))
    assert sizes != [MULTI_SCALE.size(1, step) for step in range(MULTI_SCALE.steps)]
    assert MULTI_SCALE.largest_size == (480, 480)


def test_multi_scale_ranges_match_the_papers() -> None:
    """YOLOv2 varies 320 to 608 around 416, YOLOX 480 to 800 around 640."""
    for side, low, high in ((416, 320, 608), (640, 480, 800)):
        recipe = Augmentation(multi_scale=(low / side, high / side), multi_scale_every=1)
        sampler = replace(MULTI_SCALE, augmentation=recipe, image_size=(side, side))
        sides = {sampler.size(0, step)[0] for step in range(400)}
        assert sides == set(range(low, high + 1, 32))


def test_multi_scale_keeps_the_aspect_ratio() -> None:
    sampler = replace(MULTI_SCALE, image_size=(384, 640))
    for height, width in {sampler.size(0, step) for step in range(300)}:
        assert height % 32 == width % 32 == 0
        assert abs(height - width * 0.6) <= 16


def test_size_is_constant_if_the_range_allows_no_other() -> None:
    for multi_scale in ((1.0, 1.0), (0.99, 1.01)):
        sampler = replace(PLAIN, augmentation=Augmentation(multi_scale=multi_scale))
        assert {sampler.size(0, step) for step in range(50)} == {(320, 320)}
        assert sampler.largest_size == (320, 320)


def test_order_is_random() -> None:
    order = np.array(image_order(replace(PLAIN, images=1000, batch=1000).batches(0, False))[0])
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1
