"""The criterion of YOLOv3 in MMDetection: its losses, gradients and assignment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.heads.darknet import YOLOHead
from tests.training.losses.darknet_cases import DTYPES, STRIDES, head_only, scaled_targets
from training.assign.max_iou_grid import MaxIoUGrid
from training.losses.criterion import StepContext
from training.losses.yolov3_mmdet import Gains, MMDetYOLOv3Criterion

KINDS = {
    "coco": (MaxIoUGrid(), Gains()),
    "ctor_default": (MaxIoUGrid(), Gains(center=1.0, size=1.0, mean=True)),
    "pos0.4_neg0.6": (MaxIoUGrid(positive=0.4, negative=0.6), Gains()),
    "smooth0.1": (MaxIoUGrid(), Gains(smoothing=0.1)),
}
CASES = [("basic_nc3", kind) for kind in KINDS] + [("basic_nc80", "coco")]


class Case:
    """A case of `training/mmdet_yolov3_loss`, whose levels are listed from coarse to fine."""

    def __init__(self, shared: Path, name: str) -> None:
        path = shared / "parity/training/mmdet_yolov3_loss" / f"{name}.npz"
        with np.load(path) as file:
            self.arrays = dict(file)
        metadata = json.loads(path.with_suffix(".json").read_text())
        anchors = tuple(tuple((w, h) for w, h in level) for level in metadata["anchors_px_per_level"][::-1])
        self.head = YOLOHead((1, 1, 1), metadata["num_classes"], anchors, STRIDES)
        self.targets = scaled_targets(self.arrays["targets"], (160, 160))

    def criterion(self, kind: str) -> MMDetYOLOv3Criterion:
        return MMDetYOLOv3Criterion(head_only(self.head), *KINDS[kind])

    def convolved(self, dtype: torch.dtype) -> list[torch.Tensor]:
        return [torch.from_numpy(self.arrays[f"pred{level}"]).to(dtype).requires_grad_() for level in (2, 1, 0)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_losses_and_gradients_match_mmdetection(
    shared: Path, name: str, kind: str, dtype: torch.dtype, tolerance: float
) -> None:
    case = Case(shared, name)
    convolved, arrays = case.convolved(dtype), case.arrays
    losses = case.criterion(kind)([case.head.as_map(x) for x in convolved], case.targets, StepContext())
    losses.total.backward()
    sums = {part: arrays[f"{kind}__loss_{part}"].sum() for part in ("cls", "conf", "xy", "wh")}
    expected_parts = {"box": sums["xy"] + sums["wh"], "objectness": sums["conf"], "classes": sums["cls"]}
    assert float(losses.total.detach()) == pytest.approx(float(arrays[f"{kind}__total"]), rel=tolerance)
    assert {part: float(value) for part, value in losses.parts.items()} == pytest.approx(expected_parts, rel=tolerance)
    for level, x in zip((2, 1, 0), convolved, strict=True):
        expected = arrays[f"{kind}__grad{level}"]
        assert x.grad is not None
        assert np.abs(x.grad.numpy() - expected).max() <= 2e-7 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_assignments_match_mmdetection(shared: Path, name: str, kind: str, dtype: torch.dtype) -> None:
    case = Case(shared, name)
    maps = [case.head.as_map(x) for x in case.convolved(dtype)]
    criterion, targets = case.criterion(kind), case.targets._replace(boxes=case.targets.boxes.to(dtype))
    assigned = criterion.assigner(criterion.read(maps), targets)
    numbers = np.where(assigned.ignored.numpy(), -1, 0)  # -1: ignored, 0: negative, k: the image's object k - 1
    first = np.searchsorted(targets.image_index.numpy(), assigned.image.numpy())
    numbers[assigned.image, assigned.row] = assigned.target.numpy() - first + 1
    expected = case.arrays[f"{kind}__gt_inds"][:2]
    np.testing.assert_array_equal(_coarse_first(numbers, maps), expected)
    assert {-1, 0, 1} <= set(expected.flat)


def _coarse_first(numbers: np.ndarray, maps: list[torch.Tensor]) -> np.ndarray:
    """Reorder rows (B, N) from level, anchor, y, x to MMDetection's order: coarse level first, y, x, anchor."""
    counts = np.cumsum([m[0, ..., 0].numel() for m in maps])[:-1]
    levels = np.split(numbers, counts, axis=1)[::-1]
    return np.concatenate([x.reshape(len(x), 3, -1).swapaxes(1, 2).reshape(len(x), -1) for x in levels], axis=1)
