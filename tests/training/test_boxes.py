"""Differentiable IoU measures: values and gradients of five programs, published formulas, finite results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from model_zoo.contract import boxes as contract
from training import boxes as family

MEASURES = {"iou": family.iou, "giou": family.giou, "diou": family.diou, "ciou": family.ciou, "siou": family.siou}
PROGRAMS = [
    *(f"yolov5_{kind}" for kind in ("iou", "giou", "diou", "ciou")),
    *(f"yolov7_{kind}" for kind in ("iou", "giou", "diou", "ciou")),
    *(f"yolov6_{kind}_eps1e-10" for kind in ("giou", "diou", "ciou", "siou")),
    *(f"yolov6_r010_{kind}" for kind in ("giou", "ciou", "siou")),
    "yolov6_siou_eps1e-7_xywh",
    "yolox_giou",
    "mmdet_giou",
    "mmdet_diou",
]
TINY = 10  # category of boxes whose size is lost to cancellation in float32
coordinates = st.floats(-1e4, 1e4, width=32)
sides = st.sampled_from([0.0, 1e-38, 1e-25, 1e-10, 1e-6]) | st.floats(-10, 1e4, width=32)


@st.composite
def box_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays (8, 4) of boxes, whose sides may be 0 or negative. Some boxes are equal."""
    low = draw(arrays(np.float64, (2, 8, 2), elements=coordinates))
    size = draw(arrays(np.float64, (2, 8, 2), elements=sides))
    near_origin = draw(arrays(bool, (8, 1)))  # where sums keep small sides
    first, second = np.concatenate([low * ~near_origin, low * ~near_origin + size], axis=-1)
    return first, np.where(draw(arrays(bool, (8, 1))), first, second)


@pytest.fixture(scope="module")
def losses(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "parity/training/iou_losses/seed1.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def pairs(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "parity/boxes/iou_pairs.npz") as file:
        return {key: file[key] for key in file.files if "." not in key or key.startswith("paper.")}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_values_and_gradients_match_the_programs(
    losses: dict[str, np.ndarray], program: str, dtype: torch.dtype, tolerance: float
) -> None:
    measure = next(MEASURES[part] for part in program.split("_") if part in MEASURES)
    loss, gradient = _loss(losses, lambda a, b: 1 - measure(a, b), dtype)
    ordinary = ~np.char.startswith(losses["kind"], "degenerate")
    rounding = 3e-6 * (dtype == torch.float32)  # of coordinates near 100, in the loss of boxes that nearly coincide
    np.testing.assert_allclose(loss[ordinary], losses[f"{program}__loss"][ordinary], rtol=tolerance, atol=rounding)
    truth = losses[f"{program}__grad"][ordinary]
    assert (np.abs(gradient[ordinary] - truth) <= tolerance * np.abs(truth).max(1, keepdims=True)).all()


@pytest.mark.parametrize("program", ["yolov5_ciou", "yolov6_giou_eps1e-10", "yolov6_siou_eps1e-10", "yolox_giou"])
def test_degenerate_boxes_match_the_programs_where_these_are_finite(
    losses: dict[str, np.ndarray], program: str
) -> None:
    measure = next(MEASURES[part] for part in program.split("_") if part in MEASURES)
    loss, gradient = _loss(losses, lambda a, b: 1 - measure(a, b), torch.float64)
    known = np.isfinite(losses[f"{program}__grad"]).all(1) & np.char.startswith(losses["kind"], "degenerate")
    known &= losses["kind"] != "degenerate:tiny"  # smaller than the programs' epsilon
    known &= losses["kind"] != "degenerate:both_zero_same"  # epsilon / epsilon in the programs, 0 here
    np.testing.assert_allclose(loss[known], losses[f"{program}__loss"][known], atol=1e-7)
    np.testing.assert_allclose(gradient[known], losses[f"{program}__grad"][known], rtol=1e-5, atol=1e-8)
    assert known.sum() >= 12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_results_of_all_reference_pairs_are_finite(losses: dict[str, np.ndarray], dtype: torch.dtype) -> None:
    for measure in MEASURES.values():
        assert all(np.isfinite(part).all() for part in _loss(losses, measure, dtype))


def test_square_and_logarithm_of_iou_match_yolox_and_mmdetection(losses: dict[str, np.ndarray]) -> None:
    ordinary = ~np.char.startswith(losses["kind"], "degenerate")
    square, gradient = _loss(losses, lambda a, b: 1 - family.iou(a, b) ** 2, torch.float64)
    np.testing.assert_allclose(square[ordinary], losses["yolox_iou__loss"][ordinary], rtol=1e-12)
    np.testing.assert_allclose(gradient[ordinary], losses["yolox_iou__grad"][ordinary], atol=1e-12)
    logarithm, _ = _loss(losses, lambda a, b: -family.iou(a, b).clamp(min=1e-6).log(), torch.float64)
    np.testing.assert_allclose(logarithm[ordinary], losses["mmdet_iou_log__loss"][ordinary], rtol=1e-12)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 5e-6)])
def test_measures_match_the_published_formulas(
    pairs: dict[str, np.ndarray], kind: str, dtype: torch.dtype, tolerance: float
) -> None:
    pred, truth = (torch.from_numpy(pairs[name]).to(dtype) for name in ("pred", "truth"))
    actual = MEASURES[kind](family.cxcywh_to_xyxy(pred), family.cxcywh_to_xyxy(truth)).numpy()
    known = np.isfinite(pairs[f"paper.{kind}"]) & ((pairs["category"] != TINY) | (dtype == torch.float64))
    np.testing.assert_allclose(actual[known], pairs[f"paper.{kind}"][known], rtol=0, atol=tolerance)
    assert known.sum() >= 1700


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(pair=box_pairs())
def test_values_and_gradients_are_finite(dtype: torch.dtype, pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (torch.from_numpy(boxes).to(dtype).requires_grad_() for boxes in pair)
    for name, measure in MEASURES.items():
        values = measure(first, second)
        gradients = torch.autograd.grad(values.sum(), [first, second])
        assert values.dtype == dtype
        assert all(part.isfinite().all() for part in (values, *gradients)), name


def test_values_match_darknet_with_distances_to_the_power_0_6(shared: Path) -> None:
    with np.load(shared / "parity/training/darknet_iou/seed65.npz") as file:
        case = dict(file)
    boxes = [family.cxcywh_to_xyxy(torch.from_numpy(case[name]).double()) for name in ("pred", "target")]
    iou, giou, diou, ciou = (MEASURES[kind](*boxes) for kind in ("iou", "giou", "diou", "ciou"))
    actual = torch.stack([iou, giou, iou - (iou - diou).clamp(min=0) ** 0.6, ciou], dim=1)
    np.testing.assert_allclose(actual, case["values"], atol=5e-6)


@given(pair=box_pairs())
def test_pairwise_iou_equals_row_by_row_iou(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = map(torch.from_numpy, pair)
    everything = family.pairwise_iou(first, second)
    torch.testing.assert_close(everything.diagonal(), family.iou(first, second), rtol=0, atol=0)
    assert family.pairwise_iou(first, second[:0]).shape == (8, 0)


def test_shape_iou_equals_iou_of_boxes_with_the_same_center() -> None:
    sizes = torch.tensor([[4.0, 2.0], [2.0, 4.0], [1.0, 1.0], [0.0, 0.0]])
    boxes = torch.cat([-sizes / 2, sizes / 2], dim=1)
    actual = family.shape_iou(sizes[:, None], sizes[:3])
    torch.testing.assert_close(actual, family.pairwise_iou(boxes, boxes[:3]))
    assert actual[0, 1] == pytest.approx(4 / 12)


@given(arrays(np.float64, (5, 4), elements=coordinates))
def test_conversions_match_the_contract(boxes: np.ndarray) -> None:
    np.testing.assert_array_equal(family.cxcywh_to_xyxy(torch.from_numpy(boxes)), contract.cxcywh_to_xyxy(boxes))
    np.testing.assert_array_equal(family.xyxy_to_cxcywh(torch.from_numpy(boxes)), contract.xyxy_to_cxcywh(boxes))


def _loss(
    case: dict[str, np.ndarray], measure: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values, and the gradients of their weighted sum by center and size of the first box."""
    pred = torch.from_numpy(case["pred_cxcywh"]).to(dtype).requires_grad_()
    target, weight = (torch.from_numpy(case[key]).to(dtype) for key in ("target_cxcywh", "upstream_grad"))
    values = measure(family.cxcywh_to_xyxy(pred), family.cxcywh_to_xyxy(target))
    (gradient,) = torch.autograd.grad((values * weight).sum(), pred)
    return values.detach().numpy(), gradient.numpy()
