"""What holds for every recipe: boxes stay on the canvas and on their objects, all chance comes from the caller."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from model_zoo.contract import letterbox
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from training.augment import mixup
from training.augment.augmenter import Augmenter
from training.augment.canvas import draw_crop
from training.augment.color import gain_table, draw_color, apply_color
from training.augment.geometry import Affine, about_center, warp_boxes
from training.batch import Sample
from training.recipe import Augmentation
from training.recipes import recipe_of

SIZE = (128, 160)
CENTER, TOP_LEFT, STRETCH = (LetterboxPolicy(align=align) for align in ("center", "top_left", "stretch"))
OFF = Augmentation(mosaic=0, translate=0, scale=(1, 1), hue=0, saturation=0, value=0, flip=0)
MOSAIC = replace(OFF, mosaic=1.0, translate=0.1, scale=(0.5, 1.5))
YOLOX = replace(
    MOSAIC,
    affine="corner",
    degrees=10,
    shear=2,
    mixup=1.0,
    mixup_beta=0,
    min_side=1,
    min_area=0,
    max_aspect=np.inf,
)
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
COLORS = np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]])


def picture(seed: int, objects: int = 6, policy: LetterboxPolicy = CENTER, size: Size = SIZE) -> Sample:
    """An image with that many rectangles, side by side in a grid, each in the color of its class."""
    rng = default_rng(seed)
    height, width = letterbox.plan(policy, tuple(rng.integers(60, 400, 2).tolist()), size).resized
    pixels = np.full((height, width, 3), 30, np.uint8)
    grid = int(np.ceil(np.sqrt(max(objects, 1))))
    class_ids = rng.integers(0, len(COLORS), objects)
    boxes = []
    for place, class_id in enumerate(class_ids):
        y, x = place // grid, place % grid
        x1, x2, y1, y2 = x * width // grid, (x + 1) * width // grid, y * height // grid, (y + 1) * height // grid
        pixels[y1 : y2 - 1, x1 : x2 - 1] = COLORS[class_id]
        boxes.append((x1, y1, x2 - 1, y2 - 1))
    return Sample(pixels, np.array(boxes, np.float32).reshape(-1, 4), class_ids)


def album(count: int = 6, objects: int = 6, policy: LetterboxPolicy = CENTER) -> list[Sample]:
    return [picture(seed, objects, policy) for seed in range(count)]


def assert_sound(sample: Sample, recipe: Augmentation, size: Size = SIZE) -> None:
    assert sample.pixels.shape == (*size, 3)
    assert (sample.pixels.dtype, sample.boxes.dtype, sample.class_ids.dtype) == (np.uint8, np.float32, np.int64)
    assert sample.boxes.shape == (len(sample.class_ids), 4)
    assert (sample.boxes >= 0).all()
    assert (sample.boxes <= np.float32([size[1], size[0], size[1], size[0]])).all()
    assert (sample.boxes[:, 2:] - sample.boxes[:, :2] > recipe.min_side).all()


@pytest.mark.parametrize("policy", [CENTER, TOP_LEFT, STRETCH], ids=lambda policy: policy.align)
@pytest.mark.parametrize("name", RECIPES)
def test_boxes_stay_on_the_canvas(name: str, policy: LetterboxPolicy) -> None:
    augmenter = Augmenter(album(policy=policy), RECIPES[name], SIZE, policy)
    samples = [augmenter(seed % 6, default_rng(seed), close_mosaic=seed % 3 == 0) for seed in range(30)]
    for sample in samples:
        assert_sound(sample, RECIPES[name])
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
@settings(max_examples=60, deadline=None)
def test_any_recipe_gives_sound_samples(recipe: Augmentation, seed: int) -> None:
    augmenter = Augmenter(album(3, objects=4), recipe, SIZE, CENTER)
    assert_sound(augmenter(1, default_rng(seed)), recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        replace(OFF, flip=1.0),
        replace(OFF, translate=0.2, scale=(0.6, 1.6)),
        replace(OFF, crop_jitter=0.3),
        MOSAIC,
        replace(MOSAIC, mosaic_nine=1.0),
        replace(MOSAIC, crop_jitter=0.3, mosaic_canvas=1, scale=(1, 1), translate=0),
        replace(MOSAIC, affine="corner", flip=0.5),
    ],
    ids=["flip", "affine", "crop", "mosaic", "mosaic of nine", "mosaic of Darknet", "mosaic of YOLOX"],
)
def test_pixels_move_with_their_boxes(recipe: Augmentation) -> None:
    augmenter = Augmenter(album(), recipe, SIZE, CENTER)
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


def test_objects_are_where_their_boxes_are_and_nowhere_else() -> None:
    """The smallest box around an object's color is its box, within the blur of its edges."""
    one = Sample(np.full((*SIZE, 3), 30, np.uint8), np.float32([[40, 50, 90, 80]]), np.int64([2]))
    one.pixels[50:80, 40:90] = COLORS[2]
    augmenter = Augmenter([one], replace(OFF, translate=0.2, scale=(0.5, 1.2)), SIZE, CENTER)
    for seed in range(20):
        sample = augmenter(0, default_rng(seed))
        rows, columns = np.nonzero(sample.pixels[..., 2] > 142)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(sample.boxes, [seen], atol=1.01)


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_numbers_give_the_same_sample(name: str) -> None:
    augmenter = Augmenter(album(), RECIPES[name], SIZE, CENTER)
    one, again, other = (augmenter(2, default_rng(seed)) for seed in (7, 7, 8))
    for part in ("pixels", "boxes", "class_ids"):
        np.testing.assert_array_equal(getattr(one, part), getattr(again, part))
    assert not np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("name", RECIPES)
def test_pictures_are_left_as_they_are(name: str) -> None:
    pictures = album(policy=STRETCH)
    copies = [(one.pixels.copy(), one.boxes.copy()) for one in pictures]
    for one in pictures:
        one.pixels.flags.writeable = False
    augmenter = Augmenter(pictures, RECIPES[name], SIZE, STRETCH)
    for seed in range(10):
        augmenter(seed % 6, default_rng(seed))
    for one, (pixels, boxes) in zip(pictures, copies, strict=True):
        np.testing.assert_array_equal(one.pixels, pixels)
        np.testing.assert_array_equal(one.boxes, boxes)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(("count", "objects"), [(1, 0), (3, 0), (1, 3), (2, 100)])
def test_few_images_and_few_or_many_objects(name: str, count: int, objects: int) -> None:
    augmenter = Augmenter(album(count, objects), RECIPES[name], SIZE, CENTER)
    samples = [augmenter(0, default_rng(seed)) for seed in range(8)]
    for sample in samples:
        assert_sound(sample, RECIPES[name])
    assert (sum(len(sample.boxes) for sample in samples) > 0) == (objects > 0)


@pytest.mark.parametrize("policy", [CENTER, TOP_LEFT, STRETCH], ids=lambda policy: policy.align)
@pytest.mark.parametrize("rounding", ["round", "floor"])
def test_what_is_not_varied_is_as_served(policy: LetterboxPolicy, rounding: str) -> None:
    policy = replace(policy, rounding=rounding)
    for seed in range(20):
        image = default_rng(seed).integers(0, 256, (*default_rng(seed).integers(20, 300, 2), 3), np.uint8)
        geometry = letterbox.plan(policy, image.shape[:2], SIZE)
        resized = cv2.resize(image, geometry.resized[::-1])
        own = Sample(resized, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        came = Augmenter([own], OFF, SIZE, policy)(0, default_rng(0))
        np.testing.assert_array_equal(came.pixels, letterbox.apply(image, geometry, policy.fill))


def test_closing_epochs_have_one_image_and_yolox_leaves_it_in_place() -> None:
    augmenter = Augmenter(album(policy=TOP_LEFT), YOLOX, SIZE, TOP_LEFT)
    sample = augmenter(3, default_rng(0), close_mosaic=True)
    np.testing.assert_array_equal(sample.boxes, picture(3, policy=TOP_LEFT).boxes)


@pytest.mark.parametrize(("nine", "images"), [(0.0, 4), (1.0, 9)])
def test_a_mosaic_has_so_many_images(nine: float, images: int) -> None:
    """Images as small as a ninth of the canvas are all seen; each names itself by its class."""
    tiles = [
        Sample(np.zeros((32, 32, 3), np.uint8), np.float32([[0, 0, 32, 32]]), np.int64([number]))
        for number in range(50)
    ]
    recipe = replace(MOSAIC, mosaic_nine=nine, translate=0, scale=(0.5, 0.5))
    seen = [len(Augmenter(tiles, recipe, (64, 64), CENTER)(0, default_rng(seed)).boxes) for seed in range(20)]
    assert max(seen) == images


def test_mixup_shows_the_objects_of_both() -> None:
    augmenter = Augmenter(album(), replace(MOSAIC, mixup=1.0, translate=0, scale=(0.5, 0.5)), SIZE, CENTER)
    alone = Augmenter(album(), replace(MOSAIC, translate=0, scale=(0.5, 0.5)), SIZE, CENTER)
    both, one = (np.mean([len(a(0, default_rng(seed)).boxes) for seed in range(20)]) for a in (augmenter, alone))
    assert both == pytest.approx(2 * one, rel=0.1)


def test_shares_of_mixup() -> None:
    rng = default_rng(0)
    drawn = np.array([mixup.draw_ratio(32, rng) for _ in range(400)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    assert drawn.std() == pytest.approx((4 * 65) ** -0.5, rel=0.15)  # of Beta(32, 32)
    assert mixup.draw_ratio(0, rng) == 0.5


def test_blended_pixels_are_cut_to_whole_numbers() -> None:
    values = np.arange(256, dtype=np.uint8)
    one = np.broadcast_to(values[:, None, None], (256, 256, 3)).copy()
    empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    samples = Sample(one, *empty), Sample(one.transpose(1, 0, 2).copy(), *empty)
    halves = mixup.blend(*samples, 0.5).pixels[..., 0]
    np.testing.assert_array_equal(halves, (values[:, None].astype(int) + values) // 2)
    np.testing.assert_array_equal(mixup.blend(samples[0], samples[0], 0.37).pixels, one)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_the_partner_of_yolox_is_scaled_and_cut(factor: float) -> None:
    one = Augmenter(album(), OFF, SIZE, CENTER)(0, default_rng(0))
    recipe = replace(YOLOX, mixup_scale=(factor, factor), flip=0)
    for seed in range(10):
        came = mixup.scale_and_crop(one, recipe, 114, default_rng(seed))
        assert_sound(came, recipe)
        whole = came.boxes[(came.boxes > 0).all(axis=1) & (came.boxes[:, 2:] < (SIZE[1], SIZE[0])).all(axis=1)]
        sides = one.boxes[:, 2:] - one.boxes[:, :2]
        for box in whole:
            assert np.abs(sides * factor - (box[2:] - box[:2])).max(axis=1).min() < 1


def test_the_crop_of_darknet_moves_each_side_by_its_share() -> None:
    rng = default_rng(0)
    drawn = [draw_crop((100, 200), 0.3, rng) for _ in range(300)]
    corners, sizes = (np.array(part) for part in zip(*drawn, strict=True))
    sides = np.concatenate([-corners, sizes - corners], axis=1)  # top, left, and bottom, right
    np.testing.assert_allclose(sides.min(axis=0), [-29, -59, 71, 141], atol=2)
    np.testing.assert_allclose(sides.max(axis=0), [29, 59, 129, 259], atol=2)


def test_no_change_of_color_is_none() -> None:
    pixels = album(1)[0].pixels
    np.testing.assert_array_equal(apply_color(pixels, gain_table(np.ones(3))), pixels)


@pytest.mark.parametrize("form", ["gains", "levels", "factors"])
def test_changes_of_color_keep_their_range(form: str) -> None:
    limits = {"levels": (5, 30, 30)}.get(form, (0.1, 0.5, 0.4))
    recipe = Augmentation(color=form, hue=limits[0], saturation=limits[1], value=limits[2])
    tables = np.stack([draw_color(recipe, default_rng(seed)) for seed in range(200)]).astype(int)
    assert tables[..., 0].max() < 180
    assert len(np.unique(tables[:, 100], axis=0)) > 50
    low, high = {"gains": (60, 140), "levels": (70, 130), "factors": (100 / 1.4, 140)}[form]
    values = tables[:, 100, 2]
    assert low - 1 <= values.min() < low + 8
    assert high - 8 < values.max() <= high


def test_a_box_behind_the_eye_is_empty() -> None:
    matrix = about_center(Affine(perspective=(0.01, 0.0)), (400, 400), (400, 400))
    boxes = warp_boxes(np.float64([[0, 0, 50, 50], [190, 190, 210, 210]]), matrix, (400, 400))
    np.testing.assert_array_equal(boxes[0], 0)
    assert (boxes[1, 2:] > boxes[1, :2]).all()
