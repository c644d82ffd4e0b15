"""Compare augmentation with results of the original implementations."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model_zoo.contract.boxes import cxcywh_to_xyxy
from training.augment import mixup, mosaic
from training.augment.canvas import flip, keep_mask, paste
from training.augment.color import Table, apply_color, gain_table, level_table
from training.augment.geometry import Affine, about_center, about_corner, draw_affine, warp, warp_boxes
from training.batch import Sample
from training.recipe import Augmentation

FILL = 114
ASPECT = {"yolov5": 100.0, "yolov7": 20.0}
CASES = [(family, number) for family in ASPECT for number in range(6)]


@pytest.fixture(scope="module")
def originals(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "parity/training/augment_geometry/seed2.npz") as file:
        return dict(file)


def select(originals: dict[str, np.ndarray], prefix: str) -> SimpleNamespace:
    return SimpleNamespace(**{k.removeprefix(prefix): v for k, v in originals.items() if k.startswith(prefix)})


def fixed_rng(numbers: np.ndarray) -> SimpleNamespace:
    """Return a substitute for a Generator that draws the reference's numbers in [0, 1) in order."""
    rest = iter(numbers.tolist())
    return SimpleNamespace(random=lambda count: np.array([next(rest) for _ in range(count)]))


def affine_of(draws: np.ndarray) -> Affine:
    px, py, degrees, scale, shear_x, shear_y, x, y = draws.tolist()
    return Affine(degrees, scale, (shear_x, shear_y), (x - 0.5, y - 0.5), (px, py))


@pytest.mark.parametrize(("family", "number"), CASES)
def test_affine_parameters_of_yolov5_and_v7(originals: dict[str, np.ndarray], family: str, number: int) -> None:
    case = select(originals, f"{family}_rp{number}_")
    degrees, translate, scale, shear, perspective = case.hyp[:5].tolist()
    high = 1 + scale if family == "yolov5" else 1.1 + scale
    recipe = Augmentation(
        degrees=degrees, translate=translate, scale=(1 - scale, high), shear=shear, perspective=perspective
    )
    actual, expected = draw_affine(recipe, fixed_rng(case.unit)), affine_of(case.draws)
    for name, value in vars(expected).items():
        assert getattr(actual, name) == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize(("family", "number"), CASES)
def test_affine_of_yolov5_and_v7(originals: dict[str, np.ndarray], family: str, number: int) -> None:
    case = select(originals, f"{family}_rp{number}_")
    border_y, border_x, height, width = case.hyp[5:].astype(int).tolist()
    view = (height + 2 * border_y, width + 2 * border_x)
    affine = affine_of(case.draws)
    matrix = about_center(affine, (height, width), view)
    np.testing.assert_allclose(matrix, case.M, rtol=0, atol=1e-9)

    before = case.targets_in[:, 1:]
    boxes = warp_boxes(before, matrix, view)
    mask = keep_mask(before * affine.scale, boxes, Augmentation(max_aspect=ASPECT[family]))
    actual = np.concatenate([case.targets_in[mask, :1], boxes[mask]], axis=1)
    np.testing.assert_allclose(actual, case.targets_out, rtol=0, atol=1e-6)
    if hasattr(case, "image_in"):
        pixels = warp(case.image_in, matrix, view, FILL)
        assert np.abs(pixels.astype(int) - case.image_out).max() <= 2


@pytest.mark.parametrize("number", range(6))
def test_affine_of_yolox(originals: dict[str, np.ndarray], number: int) -> None:
    case = select(originals, f"yolox_affine{number}_")
    degrees, scale, shear_x, shear_y, x, y = case.draws.tolist()
    view = (int(case.cfg[0]),) * 2
    matrix = about_corner(Affine(degrees, scale, (shear_x, shear_y), (x, y)), view)
    np.testing.assert_allclose(matrix[:2], case.M, rtol=0, atol=1e-9)
    boxes = warp_boxes(case.boxes_in[:, :4], matrix, view)
    np.testing.assert_allclose(boxes, case.boxes_out[:, :4], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["yolov5_load_mosaic", "yolov7_load_mosaic", "yolov5_load_mosaic9", "yolov7_load_mosaic9"]
)
def test_mosaic_of_yolov5_and_v7(originals: dict[str, np.ndarray], name: str) -> None:
    case = select(originals, f"{name}_")
    side, count = 48, len(case.sizes)
    canvas = (2 * side, 2 * side)
    units = case.unit.tolist()
    nine = name.endswith("9")
    numbers, picks = (units[8:10], units[:8]) if nine else (units[:2], units[2:5])
    tiles = [flat_tile(case, i) for i in [0, *(int(u * count) for u in picks)]]
    sizes = [tile.pixels.shape[:2] for tile in tiles]
    rng = fixed_rng(np.array(numbers))
    if nine:
        corners = mosaic.place_nine(mosaic.draw_start(canvas, rng), sizes)
    else:
        corners = mosaic.place_four(mosaic.draw_center(canvas, rng), sizes)
    actual = paste(tiles, corners, canvas, FILL)
    np.testing.assert_array_equal(actual.pixels[..., 0], case.image_out)
    np.testing.assert_array_equal(actual.class_ids, case.labels_out[:, 0])
    np.testing.assert_allclose(actual.boxes, case.labels_out[:, 1:], rtol=0, atol=1e-5)  # both are float32


def flat_tile(case: SimpleNamespace, index: int) -> Sample:
    height, width = case.sizes[index].tolist()
    labels = case.labels_in[index]
    boxes = cxcywh_to_xyxy(labels[:, 1:].astype(np.float64) * (width, height, width, height))
    pixels = np.full((height, width, 3), 10 * (index + 1), np.uint8)
    return Sample(pixels, boxes.astype(np.float32), labels[:, 0].astype(np.int64))


def test_mosaic_of_yolox(originals: dict[str, np.ndarray]) -> None:
    """Compare the visible part of each tile, and its position, using pixels that hold their own coordinates."""
    for tile, xc, yc, width, height, rows, columns, x1, y1, x2, y2, *small in originals["yolox_mosaic_coords"].tolist():
        y, x = np.mgrid[:height, :width]
        own = Sample(
            np.stack([y, x, y * 0 + 1], 2).astype(np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        )
        corner = mosaic.place_four((yc, xc), [(height, width)] * 4)[tile]
        actual = paste([own], [corner], (2 * rows, 2 * columns), 0).pixels
        visible = actual[..., 2] == 1
        assert visible.sum() == (x2 - x1) * (y2 - y1) == visible[y1:y2, x1:x2].sum()
        if visible.any():
            points = actual[visible]
            (top, left), (bottom, right) = points[:, :2].min(axis=0), points[:, :2].max(axis=0) + 1
            assert [left, top, right, bottom] == small


def test_mixup(originals: dict[str, np.ndarray]) -> None:
    boxes, class_ids = np.float32([[1, 2, 3, 4]]), np.int64([0])
    one, other = (Sample(originals[f"mixup_{name}"], boxes, class_ids) for name in "ab")
    actual = mixup.blend(one, other, 0.37)
    np.testing.assert_array_equal(actual.pixels, originals["mixup_out_r0.37"])
    assert len(actual.boxes) == len(actual.class_ids) == 2


def test_color_of_yolov5(originals: dict[str, np.ndarray]) -> None:
    check_color(originals, gain_table(1 + originals["hsv_unit"] * (0.015, 0.7, 0.4)), originals["yolov5_hsv_out"])


def test_color_of_yolox(originals: dict[str, np.ndarray]) -> None:
    levels = originals["hsv_unit"] * (5, 30, 30) * (1, 0, 1)
    check_color(originals, level_table(levels), originals["yolox_hsv_out"])


def check_color(originals: dict[str, np.ndarray], table: Table, expected: np.ndarray) -> None:
    actual = apply_color(np.ascontiguousarray(originals["hsv_in"][..., ::-1]), table)[..., ::-1]  # the reference is BGR
    assert np.abs(actual.astype(int) - expected).max() <= 1


def test_flip(originals: dict[str, np.ndarray]) -> None:
    boxes = originals["mirror_boxes_in"].astype(np.float32)
    actual = flip(Sample(np.zeros((20, 20, 3), np.uint8), boxes, np.zeros(len(boxes), np.int64)))
    np.testing.assert_allclose(actual.boxes, originals["mirror_boxes_out"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ASPECT)
def test_keep_mask(originals: dict[str, np.ndarray], family: str) -> None:
    recipe = Augmentation(max_aspect=ASPECT[family])
    actual = keep_mask(originals["cand_before"], originals["cand_after"], recipe)
    np.testing.assert_array_equal(actual, originals[f"cand_{family}"])
