"""Boxes against the published formulas, and properties of any box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_zoo.contract import boxes as b

MEASURES = ["iou", "giou", "diou", "ciou"]
TINY = 10  # the category whose boxes lose their size to cancellation in float32

coordinates = st.floats(-1e4, 1e4, width=32)
sides = st.sampled_from([0.0, 1e-30, 1e-6]) | st.floats(0, 1e4, width=32)


@st.composite
def box_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two float64 arrays (8, 4) of boxes, some equal and some with zero width or height."""
    low = draw(arrays(np.float64, (2, 8, 2), elements=coordinates))
    size = draw(arrays(np.float64, (2, 8, 2), elements=sides))
    first, second = np.concatenate([low, low + size], axis=-1)
    equal = draw(arrays(bool, (8, 1)))
    return first, np.where(equal, first, second)


@pytest.fixture(scope="module")
def pairs(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "parity/boxes/iou_pairs.npz") as file:
        return {key: file[key] for key in file.files if "." not in key or key.startswith("paper.")}


@pytest.mark.parametrize("measure", MEASURES)
def test_float64_matches_the_published_formulas(pairs: dict[str, np.ndarray], measure: str) -> None:
    truth = pairs[f"paper.{measure}"]
    actual = getattr(b, f"aligned_{measure}")(*_as_xyxy(pairs, np.float64))
    defined = ~np.isnan(truth)
    np.testing.assert_allclose(actual[defined], truth[defined], rtol=0, atol=1e-9)
    assert defined.sum() >= 1900
    assert np.isfinite(actual).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_float32_is_within_rounding_error(pairs: dict[str, np.ndarray], measure: str) -> None:
    truth = pairs[f"paper.{measure}"]
    actual = getattr(b, f"aligned_{measure}")(*_as_xyxy(pairs, np.float32))
    tolerance = np.where(pairs["category"] == TINY, 5e-3, 5e-6)
    defined = ~np.isnan(truth)
    assert actual.dtype == np.float32
    assert (np.abs(actual - truth) <= tolerance)[defined].all()
    assert np.isfinite(actual).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(pair=box_pairs())
def test_measures_are_finite_and_bounded(dtype: type, pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (boxes.astype(dtype) for boxes in pair)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        for measure, lowest in [("iou", 0), ("giou", -1), ("diou", -1), ("ciou", -2)]:
            actual = getattr(b, f"pairwise_{measure}")(first, second)
            assert actual.dtype == dtype
            assert np.isfinite(actual).all(), measure
            assert (actual >= lowest - 1e-3).all(), measure
            assert (actual <= 1 + 1e-3).all(), measure


@given(pair=box_pairs())
def test_pairwise_matches_aligned_and_is_symmetric(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    for measure in MEASURES:
        pairwise, aligned = getattr(b, f"pairwise_{measure}"), getattr(b, f"aligned_{measure}")
        everything = pairwise(first, second)
        np.testing.assert_array_equal(np.diagonal(everything), aligned(first, second))
        np.testing.assert_array_equal(everything, pairwise(second, first).T)


def test_known_values() -> None:
    first, second = np.asarray([[0.0, 0, 2, 2]]), np.asarray([[1.0, 1, 3, 3]])
    assert b.aligned_iou(first, second) == pytest.approx(1 / 7)
    assert b.aligned_giou(first, second) == pytest.approx(1 / 7 - 2 / 9)
    assert b.aligned_diou(first, second) == pytest.approx(1 / 7 - 2 / 18)
    assert b.aligned_ciou(first, second) == pytest.approx(1 / 7 - 2 / 18)  # equal shapes
    assert b.aligned_diou(first, second, distance_weight=0.5) == pytest.approx(1 / 7 - 1 / 18)
    assert b.aligned_iou(first, first) == 1


def test_empty_inputs() -> None:
    nothing, one = np.empty((0, 4), np.float32), np.asarray([[0, 0, 1, 1]], np.float32)
    assert b.pairwise_ciou(nothing, one).shape == (0, 1)
    assert b.pairwise_diou(one, nothing).shape == (1, 0)


@given(arrays(np.float64, (5, 4), elements=coordinates))
def test_format_conversions_are_inverse(boxes: np.ndarray) -> None:
    np.testing.assert_allclose(b.cxcywh_to_xyxy(b.xyxy_to_cxcywh(boxes)), boxes, atol=1e-9)
    width_height = b.xyxy_to_xywh(boxes)
    np.testing.assert_array_equal(width_height[:, :2], boxes[:, :2])
    np.testing.assert_allclose(width_height[:, :2] + width_height[:, 2:], boxes[:, 2:], atol=1e-9)


def test_clip_limits_boxes_to_the_image() -> None:
    boxes = np.asarray([[-5, -5, 200, 200], [1, 2, 3, 4]], np.float32)
    clipped = b.clip(boxes, (50, 100))
    np.testing.assert_array_equal(clipped, [[0, 0, 100, 50], [1, 2, 3, 4]])
    assert clipped.dtype == np.float32


def _as_xyxy(pairs: dict[str, np.ndarray], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    return b.cxcywh_to_xyxy(pairs["pred"].astype(dtype)), b.cxcywh_to_xyxy(pairs["truth"].astype(dtype))
