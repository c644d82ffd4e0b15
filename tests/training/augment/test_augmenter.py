"""Augmented samples of every recipe: boxes stay on the canvas and on their objects, randomness is the caller's."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from model_zoo.contract import letterbox
from model_zoo.contract.letterbox import LetterboxPolicy
from tests.training.augment.image_cases import (
    CENTER,
    COLORS,
    MOSAIC,
    NO_AUGMENTATION,
    SIZE,
    STRETCH,
    TOP_LEFT,
    YOLOX,
    assert_valid,
    make_image,
    make_images,
)
from training.augment.augmenter import Augmenter
from training.batch import Sample
from training.recipe import Augmentation
from training.recipes import recipe_of

VARIANTS = (
    "yolov1",
    "yolov2-voc",
    "yolov3",
    "yolov3-mmdet",
    "yolov4",
    "yolov5n",
    "yolov5l",
    "yolov6n",
    "yolov7",
    "yolox-s",
)
RECIPES = {variant: recipe_of(variant).augmentation for variant in VARIANTS} | {
    "tilted": Augmentation(degrees=45, shear=10, perspective=0.001, mosaic_nine=0.5)
}


@pytest.mark.parametrize("policy", [CENTER, TOP_LEFT, STRETCH], ids=lambda policy: policy.align)
@pytest.mark.parametrize("name", RECIPES)
def test_samples_are_valid_for_every_recipe(name: str, policy: LetterboxPolicy) -> None:
    augmenter = Augmenter(make_images(policy=policy), RECIPES[name], SIZE, policy)
    samples = [augmenter(seed % 6, default_rng(seed), close_mosaic=seed % 3 == 0) for seed in range(30)]
    for sample in samples:
        assert_valid(sample, RECIPES[name])
    assert sum(len(sample.boxes) for sample in samples) > 30


@given(
    st.builds(
        Augmentation,
        mosaic=st.sampled_from([0.0, 0.5, 1.0]),
        mosaic_nine=st.sampled_from([0.0, 0.5]),
        mosaic_canvas=st.sampled_from([1, 2]),
        mixup=st.sampled_from([0.0, 0.5]),
        mixup_beta=st.sampled_from([0.0, 8.0]),
        degrees=st.floats(0, 180),
        translate=st.floats(0, 0.9),
        scale=st.tuples(st.floats(0.05, 1), st.floats(1, 4)),
        shear=st.floats(0, 60),
        perspective=st.floats(0, 0.01),
        affine=st.sampled_from(["center", "corner"]),
        color=st.sampled_from(["gains", "levels", "factors"]),
        hue=st.floats(0, 1),
        crop_jitter=st.floats(0, 0.45),
    ),
    st.integers(0, 2**32),
)
@settings(max_examples=60)
def test_samples_are_valid_for_random_recipes(recipe: Augmentation, seed: int) -> None:
    augmenter = Augmenter(make_images(3, objects=4), recipe, SIZE, CENTER)
    assert_valid(augmenter(1, default_rng(seed)), recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        replace(NO_AUGMENTATION, flip=1.0),
        replace(NO_AUGMENTATION, translate=0.2, scale=(0.6, 1.6)),
        replace(NO_AUGMENTATION, crop_jitter=0.3),
        MOSAIC,
        replace(MOSAIC, mosaic_nine=1.0),
        replace(MOSAIC, crop_jitter=0.3, mosaic_canvas=1, scale=(1, 1), translate=0),
        replace(MOSAIC, affine="corner", flip=0.5),
    ],
    ids=["flip", "affine", "crop", "mosaic", "mosaic of nine", "Darknet mosaic", "YOLOX mosaic"],
)
def test_boxes_contain_their_objects(recipe: Augmentation) -> None:
    augmenter = Augmenter(make_images(), recipe, SIZE, CENTER)
    checked = 0
    for seed in range(20):
        sample = augmenter(seed % 6, default_rng(seed))
        for box, class_id in zip(sample.boxes, sample.class_ids, strict=True):
            x1, y1 = np.ceil(box[:2]).astype(int) + 2  # the edges of objects are blurred
            x2, y2 = np.floor(box[2:]).astype(int) - 2
            inside = sample.pixels[y1:y2, x1:x2].astype(int)
            assert np.abs(inside - COLORS[class_id]).max(initial=0) <= 3
            checked += inside.size > 0
    assert checked > 20


def test_boxes_are_tight_around_their_objects() -> None:
    """Compare each box with the extent of its object's color, up to the blur of its edges."""
    one = Sample(np.full((*SIZE, 3), 30, np.uint8), np.float32([[40, 50, 90, 80]]), np.int64([2]))
    one.pixels[50:80, 40:90] = COLORS[2]
    augmenter = Augmenter([one], replace(NO_AUGMENTATION, translate=0.2, scale=(0.5, 1.2)), SIZE, CENTER)
    for seed in range(20):
        sample = augmenter(0, default_rng(seed))
        rows, columns = np.nonzero(sample.pixels[..., 2] > 142)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(sample.boxes, [seen], atol=1.01)


@pytest.mark.parametrize("name", RECIPES)
def test_same_seed_gives_same_sample(name: str) -> None:
    augmenter = Augmenter(make_images(), RECIPES[name], SIZE, CENTER)
    one, again, other = (augmenter(2, default_rng(seed)) for seed in (7, 7, 8))
    for part in ("pixels", "boxes", "class_ids"):
        np.testing.assert_array_equal(getattr(one, part), getattr(again, part))
    assert not np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("name", RECIPES)
def test_source_images_are_not_modified(name: str) -> None:
    images = make_images(policy=STRETCH)
    copies = [(one.pixels.copy(), one.boxes.copy()) for one in images]
    for one in images:
        one.pixels.flags.writeable = False
    augmenter = Augmenter(images, RECIPES[name], SIZE, STRETCH)
    for seed in range(10):
        augmenter(seed % 6, default_rng(seed))
    for one, (pixels, boxes) in zip(images, copies, strict=True):
        np.testing.assert_array_equal(one.pixels, pixels)
        np.testing.assert_array_equal(one.boxes, boxes)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(("count", "objects"), [(1, 0), (3, 0), (1, 3), (2, 100)])
def test_samples_are_valid_for_few_images_and_any_number_of_objects(name: str, count: int, objects: int) -> None:
    augmenter = Augmenter(make_images(count, objects), RECIPES[name], SIZE, CENTER)
    samples = [augmenter(0, default_rng(seed)) for seed in range(8)]
    for sample in samples:
        assert_valid(sample, RECIPES[name])
    assert (sum(len(sample.boxes) for sample in samples) > 0) == (objects > 0)


@pytest.mark.parametrize("policy", [CENTER, TOP_LEFT, STRETCH], ids=lambda policy: policy.align)
@pytest.mark.parametrize("rounding", ["round", "floor"])
def test_without_augmentation_samples_match_serving(policy: LetterboxPolicy, rounding: str) -> None:
    policy = replace(policy, rounding=rounding)
    for seed in range(20):
        image = default_rng(seed).integers(0, 256, (*default_rng(seed).integers(20, 300, 2), 3), np.uint8)
        geometry = letterbox.plan(policy, image.shape[:2], SIZE)
        resized = cv2.resize(image, geometry.resized[::-1])
        own = Sample(resized, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        actual = Augmenter([own], NO_AUGMENTATION, SIZE, policy)(0, default_rng(0))
        np.testing.assert_array_equal(actual.pixels, letterbox.apply(image, geometry, policy.fill))


def test_close_mosaic_gives_a_single_image_that_yolox_does_not_transform() -> None:
    augmenter = Augmenter(make_images(policy=TOP_LEFT), YOLOX, SIZE, TOP_LEFT)
    sample = augmenter(3, default_rng(0), close_mosaic=True)
    np.testing.assert_array_equal(sample.boxes, make_image(3, policy=TOP_LEFT).boxes)


@pytest.mark.parametrize(("nine", "images"), [(0.0, 4), (1.0, 9)])
def test_mosaic_has_four_or_nine_images(nine: float, images: int) -> None:
    """Use tiles so small that all are visible, each with its own class."""
    tiles = [
        Sample(np.zeros((32, 32, 3), np.uint8), np.float32([[0, 0, 32, 32]]), np.int64([number]))
        for number in range(50)
    ]
    recipe = replace(MOSAIC, mosaic_nine=nine, translate=0, scale=(0.5, 0.5))
    seen = [len(Augmenter(tiles, recipe, (64, 64), CENTER)(0, default_rng(seed)).boxes) for seed in range(20)]
    assert max(seen) == images


def test_mixup_has_the_objects_of_both_images() -> None:
    augmenter = Augmenter(make_images(), replace(MOSAIC, mixup=1.0, translate=0, scale=(0.5, 0.5)), SIZE, CENTER)
    alone = Augmenter(make_images(), replace(MOSAIC, translate=0, scale=(0.5, 0.5)), SIZE, CENTER)
    both, one = (np.mean([len(a(0, default_rng(seed)).boxes) for seed in range(20)]) for a in (augmenter, alone))
    assert both == pytest.approx(2 * one, rel=0.1)
