"""Batches are a matter of seed, epoch and step: every image in every epoch, dealt alike to any number of processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.loading.sampler import BatchSampler, SampleSpec
from training.recipe import Augmentation

PLAIN = BatchSampler(images=50, augmentation=Augmentation(), image_size=(320, 320), stride=32, batch=16, seed=0)
VARIED = replace(PLAIN, images=3000, augmentation=Augmentation(multi_scale=(0.5, 1.5), multi_scale_every=10))


def images(batches: list[list[SampleSpec]]) -> list[list[int]]:
    return [[ticket.image for ticket in batch] for batch in batches]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 4))
def test_every_image_comes_in_every_epoch(count: int, batch: int, world: int) -> None:
    ranks = [replace(PLAIN, images=count, batch=batch, rank=rank, world=world) for rank in range(world)]
    dealt = [sampler.batches(3, close_mosaic=False) for sampler in ranks]
    assert {len(batches) for batches in dealt} == {ranks[0].steps}
    assert {len(tickets) for batches in dealt for tickets in batches} == {batch}
    seen = [(ticket.image, ticket.repeat) for batches in dealt for tickets in batches for ticket in tickets]
    assert len(set(seen)) == len(seen)  # an image that comes again is varied anew
    assert {image for image, lap in seen if lap == 0} == set(range(count))
    assert len(seen) - count < batch * world


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batches_of_one(world: int) -> None:
    one = replace(PLAIN, batch=4 * world).batches(1, close_mosaic=False)
    dealt = [replace(PLAIN, batch=4, rank=rank, world=world).batches(1, close_mosaic=False) for rank in range(world)]
    assert [[ticket for part in parts for ticket in part] for parts in zip(*dealt, strict=True)] == one


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [images(PLAIN.batches(0, False)), images(PLAIN.batches(1, False))]
    orders.append(images(replace(PLAIN, seed=1).batches(0, False)))
    assert all(one != other for one in orders for other in orders if one is not other)
    assert images(PLAIN.batches(0, False)) == orders[0]


def test_an_epoch_is_taken_up_in_its_middle() -> None:
    assert VARIED.batches(2, True, start_step=7) == VARIED.batches(2, True)[7:]
    assert PLAIN.batches(0, False, start_step=PLAIN.steps) == []


def test_samples_have_chances_of_their_own() -> None:
    ticket = SampleSpec(seed=0, epoch=0, image=0, repeat=0, size=(320, 320), close_mosaic=False)
    others = [replace_one(ticket, name) for name in ("seed", "epoch", "image", "repeat")]
    drawn = [one.rng().random() for one in (ticket, *others)]
    assert len(set(drawn)) == 5
    assert ticket.rng().random() == drawn[0] == ticket._replace(size=(64, 64), close_mosaic=True).rng().random()


def replace_one(ticket: SampleSpec, name: str) -> SampleSpec:
    return ticket._replace(**{name: 1})


def test_sides_vary_in_steps_of_the_stride_every_so_many_batches() -> None:
    sizes = [VARIED.size(0, step) for step in range(VARIED.steps)]
    assert {side for side, _ in sizes} == set(range(160, 481, 32))
    assert all(height == width for height, width in sizes)
    blocks = [set(sizes[first : first + 10]) for first in range(0, len(sizes), 10)]
    assert all(len(block) == 1 for block in blocks)
    assert {size for batch in VARIED.batches(0, False) for size in [{t.size for t in batch}] if len(size) > 1} == set()
    assert sizes != [VARIED.size(1, step) for step in range(VARIED.steps)]
    assert VARIED.largest_size == (480, 480)


def test_the_sides_of_the_papers() -> None:
    """YOLOv2 varies 320 to 608 around 416, YOLOX 480 to 800 around 640."""
    for side, low, high in ((416, 320, 608), (640, 480, 800)):
        recipe = Augmentation(multi_scale=(low / side, high / side), multi_scale_every=1)
        sampler = replace(VARIED, augmentation=recipe, image_size=(side, side))
        sides = {sampler.size(0, step)[0] for step in range(400)}
        assert sides == set(range(low, high + 1, 32))


def test_a_rectangle_keeps_its_proportions() -> None:
    sampler = replace(VARIED, image_size=(384, 640))
    for height, width in {sampler.size(0, step) for step in range(300)}:
        assert height % 32 == width % 32 == 0
        assert abs(height - width * 0.6) <= 16


def test_one_size_where_none_other_is_in_range() -> None:
    for multi_scale in ((1.0, 1.0), (0.99, 1.01)):
        sampler = replace(PLAIN, augmentation=Augmentation(multi_scale=multi_scale))
        assert {sampler.size(0, step) for step in range(50)} == {(320, 320)}
        assert sampler.largest_size == (320, 320)


def test_the_order_is_random() -> None:
    order = np.array(images(replace(PLAIN, images=1000, batch=1000).batches(0, False))[0])
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1
