"""Letterbox against the original programs, and properties of its geometry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model_zoo.contract import letterbox
from model_zoo.contract.boxes import cxcywh_to_xyxy
from model_zoo.contract.letterbox import Geometry, LetterboxPolicy, Size

V5 = LetterboxPolicy()
YOLOX = LetterboxPolicy(align="top_left", rounding="floor")
DARKNET = LetterboxPolicy(rounding="floor", fill=128)
STRETCH = LetterboxPolicy(align="stretch")

sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
canvases = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda s: (32 * s[0], 32 * s[1]))
policies = st.builds(
    LetterboxPolicy,
    align=st.sampled_from(["center", "top_left", "stretch"]),
    rounding=st.sampled_from(["round", "floor"]),
    scale_up=st.booleans(),
)


@pytest.fixture(scope="module")
def originals(shared: Path) -> dict[str, np.ndarray]:
    return _reference(shared, "seed2")


@pytest.mark.parametrize(("case", "rows"), [("seed2", 280), ("letterbox_auto_edge", 22)])
def test_geometry_matches_the_v5_lineage(shared: Path, case: str, rows: int) -> None:
    arrays = _reference(shared, case)
    assert len(arrays["letterbox_in"]) == rows
    for row, expected in zip(arrays["letterbox_in"].tolist(), arrays["letterbox_out"], strict=True):
        np.testing.assert_allclose(_as_reference(_auto_plan(*row)), expected, rtol=0, atol=1e-6, err_msg=str(row))


@pytest.mark.parametrize(
    ("image", "limit", "stride", "canvas", "resized"),
    [
        ((202, 671), (320, 320), 32, (96, 320), (96, 320)),  # 96.33 pixels are rounded to 96, which needs no more
        ((210, 671), (320, 320), 32, (128, 320), (100, 320)),
        ((671, 202), (320, 320), 32, (320, 96), (320, 96)),
        ((31, 1000), (640, 640), 32, (32, 640), (20, 640)),
        ((1, 5000), (640, 640), 32, (32, 640), (1, 640)),
        ((5000, 1), (640, 640), 64, (640, 64), (640, 1)),
    ],
)
def test_sides_are_rounded_before_the_border_is_measured(
    image: Size, limit: Size, stride: int, canvas: Size, resized: Size
) -> None:
    actual = letterbox.plan(V5, image, letterbox.smallest_canvas(V5, image, limit, stride), limit)
    assert (actual.canvas, actual.resized) == (canvas, resized)
    assert actual.scale == letterbox.plan(V5, image, limit).scale


def test_pixels_match_the_v5_lineage(originals: dict[str, np.ndarray]) -> None:
    image = originals["letterbox_image"]
    for auto in (0, 1):
        size = (image.shape[0], image.shape[1])
        canvas = letterbox.smallest_canvas(V5, size, (64, 64), 32) if auto else (64, 64)
        actual = letterbox.apply(image, letterbox.plan(V5, size, canvas, (64, 64)), V5.fill)
        _assert_pixels(actual, originals[f"letterbox_image_64_auto{auto}"])


def test_undo_matches_the_v5_lineage(originals: dict[str, np.ndarray]) -> None:
    actual = letterbox.undo(originals["scale_boxes_in"], letterbox.plan(V5, (37, 53), (64, 64)))
    np.testing.assert_allclose(actual, originals["scale_boxes_out"], rtol=0, atol=1e-6)


def test_geometry_matches_yolox(originals: dict[str, np.ndarray]) -> None:
    cases = zip(originals["yolox_preproc_in"].tolist(), originals["yolox_preproc_out"], strict=True)
    for (height, width, rows, columns), (ratio, filled_rows, filled_columns) in cases:
        actual = letterbox.plan(YOLOX, (height, width), (rows, columns))
        assert actual.resized == (filled_rows, filled_columns)
        assert actual.scale == pytest.approx((ratio, ratio), abs=1e-9)
        assert actual.corner == (0, 0)


def test_pixels_match_yolox(originals: dict[str, np.ndarray]) -> None:
    actual = letterbox.apply(originals["letterbox_image"], letterbox.plan(YOLOX, (37, 53), (64, 64)), YOLOX.fill)
    _assert_pixels(actual.transpose(2, 0, 1), originals["yolox_preproc_64"])


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (333, 500), (97, 31)])
@pytest.mark.parametrize("case", ["pj letterbox", "ab letterbox", "ab stretch"])
def test_undo_matches_darknet(shared: Path, size: Size, case: str) -> None:
    (height, width), (program, kind) = size, case.split()
    with np.load(shared / "parity/boxes/resize.npz") as file:
        canvas_height, canvas_width = file["correct.net_hw"].tolist()
        on_canvas = cxcywh_to_xyxy(file[f"correct.{program}.identity"]).astype(np.float64)
        expected = cxcywh_to_xyxy(file[f"correct.{program}.{height}x{width}.{kind}"]).astype(np.float64)
    policy = DARKNET if kind == "letterbox" else STRETCH
    geometry = letterbox.plan(policy, size, (canvas_height, canvas_width))
    actual = letterbox.undo(on_canvas * ([canvas_width, canvas_height] * 2), geometry)
    expected = np.clip(expected * ([width, height] * 2), 0, [width, height] * 2)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-3)
    assert (actual[:, 2:] > actual[:, :2]).any()


@pytest.mark.parametrize("case", range(7))
def test_placement_matches_darknet(shared: Path, case: int) -> None:
    with np.load(shared / "parity/boxes/resize.npz") as file:
        image, expected = file[f"{case}.input_u8"], file[f"{case}.letterbox"]
    geometry = letterbox.plan(DARKNET, image.shape[1:], expected.shape[1:])
    (top, left), (height, width) = geometry.corner, geometry.resized
    border = np.ones(geometry.canvas, dtype=bool)
    border[top : top + height, left : left + width] = False
    gray = (expected == 0.5).all(axis=0)
    np.testing.assert_array_equal(gray, border)


def test_darknet_uses_integer_division() -> None:
    assert int(92 * (416 / 92)) == 415, "the trap this is about"
    assert letterbox.plan(DARKNET, (1, 92), (416, 416)).resized == (4, 416)


@given(policies, sizes, canvases)
def test_image_is_inside_the_canvas(policy: LetterboxPolicy, image: Size, canvas: Size) -> None:
    actual = letterbox.plan(policy, image, canvas)
    assert actual.canvas == canvas
    for axis in (0, 1):
        assert 0 <= actual.corner[axis] <= actual.corner[axis] + actual.resized[axis] <= canvas[axis]
        assert actual.resized[axis] >= 1
        assert abs(actual.corner[axis] - actual.offset[axis]) <= 1
        assert abs(actual.resized[axis] - image[axis] * actual.scale[axis]) <= 1
    if policy.align != "stretch" and not policy.scale_up:
        assert actual.resized[0] <= max(image[0], 1)


@given(policies, sizes, canvases, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_undo_restores_boxes(policy: LetterboxPolicy, image: Size, canvas: Size, parts: list[float]) -> None:
    geometry = letterbox.plan(policy, image, canvas)
    box = np.asarray(parts) * ([image[1], image[0]] * 2)
    on_canvas = box * (geometry.scale[::-1] * 2) + np.asarray(geometry.offset[::-1] * 2)
    np.testing.assert_allclose(letterbox.undo(on_canvas, geometry), box, rtol=0, atol=1e-6)
    single = letterbox.undo(on_canvas.astype(np.float32), geometry)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, box, rtol=0, atol=1e-3 / min(geometry.scale))


@given(policies, sizes, canvases)
@example(V5, (340, 1678), (64, 160))  # 32.4 pixels are rounded to 32
def test_smallest_canvas_keeps_the_image_size(policy: LetterboxPolicy, image: Size, limit: Size) -> None:
    canvas = letterbox.smallest_canvas(policy, image, limit, 32)
    full, actual = letterbox.plan(policy, image, limit), letterbox.plan(policy, image, canvas, limit)
    assert actual.resized == full.resized
    if policy.align != "stretch":
        assert actual.scale == full.scale
        assert all(canvas[axis] - full.resized[axis] < 32 for axis in (0, 1)), "a whole stride of border is left"
    for axis in (0, 1):
        assert canvas[axis] % 32 == 0
        assert full.resized[axis] <= canvas[axis] <= limit[axis]


def test_undo_clips_to_the_image() -> None:
    geometry = letterbox.plan(V5, (480, 640), (640, 640))
    actual = letterbox.undo(np.asarray([[-50, 0, 700, 640]], np.float32), geometry)
    np.testing.assert_array_equal(actual, [[0, 0, 640, 480]])


def test_apply_fills_the_border_and_keeps_the_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    before = image.copy()
    actual = letterbox.apply(image, letterbox.plan(V5, (30, 60), (128, 128)), 7)
    assert (actual[:32] == 7).all()
    assert (actual[96:] == 7).all()
    np.testing.assert_array_equal(actual[32:96], cv2.resize(image, (128, 64), interpolation=cv2.INTER_LINEAR))
    np.testing.assert_array_equal(image, before)


@given(policies, sizes, canvases, st.booleans())
def test_apply_equals_a_plain_resize_on_a_filled_canvas(
    policy: LetterboxPolicy, image: Size, canvas: Size, is_view: bool
) -> None:
    (height, width), geometry = image, letterbox.plan(policy, image, canvas)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width + is_view, 3), dtype=np.uint8)[:, :width]
    (top, left), (rows, columns) = geometry.corner, geometry.resized
    expected = np.full((*canvas, 3), 114, np.uint8)
    inside = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_LINEAR)
    expected[top : top + rows, left : left + columns] = inside
    actual = letterbox.apply(pixels, geometry, 114)
    np.testing.assert_array_equal(actual, expected)
    assert actual.flags.c_contiguous


def _reference(shared: Path, case: str) -> dict[str, np.ndarray]:
    with np.load(shared / f"parity/training/augment_geometry/{case}.npz") as file:
        return {key: file[key] for key in file.files if key.startswith(("letterbox_", "scale_boxes_", "yolox_preproc"))}


def _auto_plan(
    height: int, width: int, rows: int, columns: int, auto: int, stretched: int, scale_up: int, stride: int
) -> Geometry:
    policy, image, limit = LetterboxPolicy("stretch" if stretched else "center"), (height, width), (rows, columns)
    policy = replace(policy, scale_up=bool(scale_up))
    canvas = letterbox.smallest_canvas(policy, image, limit, stride) if auto else limit
    return letterbox.plan(policy, image, canvas, limit)


def _as_reference(geometry: Geometry) -> list[float]:
    (rows, columns), (height, width), (top, left) = geometry.canvas, geometry.resized, geometry.corner
    half_border = ((columns - width) / 2, (rows - height) / 2)
    return [rows, columns, *geometry.scale[::-1], *half_border, top, left, top + height, left + width]


def _assert_pixels(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == np.uint8
    assert np.abs(actual.astype(int) - expected).max() <= 1  # OpenCV's builds round differently
