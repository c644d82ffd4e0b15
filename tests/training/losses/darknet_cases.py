"""Reference layers of Darknet's programs, and detectors that consist of a head only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model_zoo.detector import Detector, Head, InputSpec
from model_zoo.heads.anchor import AnchorHead, Anchors
from model_zoo.heads.darknet import RegionHead, YOLOHead
from model_zoo.heads.grid import GridHead
from training.batch import Targets
from training.losses.criterion import Criterion, StepContext

DTYPES = [torch.float32, torch.float64]
TOLERANCE = 5e-6  # relative to the largest number, as the programs compute in float32
STRIDES = (8, 16, 32)
TINY_RAW_SIZE = -9.0  # raw size of predictions without overlap


def random_maps(head: AnchorHead, images: int = 2, size: tuple[int, int] = (160, 160), seed: int = 0) -> list[Tensor]:
    """Return random raw maps of a head, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    count, numbers = head.anchors.shape[1], 5 + head.num_classes
    shapes = [(images, count, size[0] // s, size[1] // s, numbers) for s in head.strides]
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


def head_only(head: Head, size: tuple[int, int] = (160, 160)) -> Detector:
    """Return a detector that consists of its head only, as a criterion needs it."""
    names = [str(i) for i in range(head.num_classes)]
    return Detector("head_only", "head_only", nn.Identity(), nn.Identity(), head, InputSpec(size), names)


def scaled_targets(rows: np.ndarray, size: tuple[int, int]) -> Targets:
    """Return the targets of rows (image, class, cx, cy, w, h), relative to a canvas of `size` (height, width)."""
    table = torch.from_numpy(rows.astype(np.float64))
    canvas = torch.tensor([size[1], size[0]])
    centers, halves = table[:, 2:4] * canvas, table[:, 4:6] * canvas / 2
    return Targets(table[:, 0].long(), table[:, 1].long(), torch.cat([centers - halves, centers + halves], dim=1))


def of_image(targets: Targets, image: int) -> Targets:
    """Return the objects of one image as a batch."""
    in_image = targets.image_index == image
    return Targets(targets.image_index[in_image] - image, targets.class_ids[in_image], targets.boxes[in_image])


def as_maps(convolved: Sequence[Tensor]) -> list[Tensor]:
    """Convert maps (B, A, 5 + C, h, w) to raw maps (B, A, h, w, 5 + C)."""
    return [x.movedim(2, 4) for x in convolved]


class Layer:
    """A detection layer of `boxes/train_v*.npz`: its inputs, and the delta that the program computed."""

    def __init__(self, shared: Path, name: str) -> None:
        folder = shared / "parity/boxes"
        case: dict[str, Any] = json.loads((folder / "train_cases.json").read_text())[name]
        with np.load(folder / f"train_{name[:2]}.npz") as file:
            self.raw, truth, self.delta = (file[f"{name}.{part}"] for part in ("raw", "truth", "delta"))
        self.options, self.seen = case["layer_options"], case["seen"] or 0
        if name.startswith("v1"):
            self.size = (64 * self.options["side"],) * 2
            self.targets = scaled_targets(grid_rows(truth), self.size)
        else:
            self.size, self.grid = (tuple(case[key][::-1]) for key in ("net_wh", "grid_wh"))
            self.targets = scaled_targets(_listed_rows(truth), self.size)

    def grid_head(self) -> GridHead:
        o = self.options
        return GridHead(1, o["classes"], boxes=o["num"], cells=o["side"])

    def anchors(self) -> np.ndarray:
        return np.array([float(number) for number in self.options["anchors"].split(",")]).reshape(-1, 2)

    def region_head(self) -> RegionHead:
        stride = self.size[0] // self.grid[0]
        return RegionHead((1,), self.options["classes"], (_pairs(self.anchors() * stride),), (stride,))

    def yolo_head(self) -> YOLOHead:
        anchors = tuple(_pairs(level) for level in self.anchors().reshape(3, 3, 2))
        return YOLOHead((1, 1, 1), self.options["classes"], anchors, STRIDES)

    def check(self, criterion: Criterion, dtype: torch.dtype, strides: Sequence[int]) -> None:
        """Compare the criterion's gradient with the program's delta. Levels without a layer have empty predictions."""
        batch, numbers = len(self.raw), 5 + self.options["classes"]
        raw = torch.from_numpy(self.raw).to(dtype).view(batch, -1, numbers, *self.grid).requires_grad_()
        maps = [self._empty(raw, self.size[0] // s, self.size[1] // s) for s in strides]
        maps[strides.index(self.size[0] // self.grid[0])] = raw
        criterion(as_maps(maps), self.targets, StepContext(images_seen=self.seen)).total.backward()
        assert raw.grad is not None
        assert_delta(raw.grad, self.delta.reshape(raw.shape))

    def _empty(self, like: Tensor, height: int, width: int) -> Tensor:
        empty = like.new_zeros(*like.shape[:3], height, width)
        empty[:, :, 2:4] = TINY_RAW_SIZE
        return empty


def assert_delta(gradient: Tensor, delta: np.ndarray) -> None:
    """Check a gradient against Darknet's delta, which has the opposite sign."""
    assert np.abs(gradient.numpy() + delta).max() <= TOLERANCE * np.abs(delta).max()


def grid_rows(truth: np.ndarray) -> np.ndarray:
    """Return the rows of YOLOv1's truth (B, S * S, 1 + C + 4)."""
    image, cell = np.nonzero(truth[..., 0])
    objects, side = truth[image, cell].astype(np.float64), round(truth.shape[1] ** 0.5)
    centers = (objects[:, -4:-2] + np.stack([cell % side, cell // side], axis=1)) / side
    return np.column_stack([image, objects[:, 1:-4].argmax(1), centers, objects[:, -2:]])


def _listed_rows(truth: np.ndarray) -> np.ndarray:
    """Return the rows of a truth (B, n, 5 or more): x, y, w, h, class. An x of 0 ends the list of an image."""
    counts = (truth[..., 0] != 0).cumprod(1).sum(1)
    listed = [
        np.column_stack([np.full(n, i), t[:n, 4], t[:n, :4]])
        for i, (t, n) in enumerate(zip(truth, counts, strict=True))
    ]
    return np.concatenate(listed)


def _pairs(anchors: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(w), float(h)) for w, h in anchors)


class Network:
    """The three layers of a network in `training/yolov3_darknet_loss` or `yolov4_darknet_loss`."""

    def __init__(self, shared: Path, version: str) -> None:
        with np.load(shared / f"parity/training/{version}_darknet_loss/basic_nc3.npz") as file:
            self.arrays = dict(file)
        self.targets = scaled_targets(self.arrays["targets"], (160, 160))
        self.anchors: Anchors = tuple(_pairs(level) for level in self.arrays["anchors_px"].reshape(3, 3, 2))

    def raw(self, dtype: torch.dtype) -> list[Tensor]:
        return [torch.from_numpy(self.arrays[f"pred{i}"]).to(dtype).requires_grad_() for i in range(3)]

    def run(self, criterion: Criterion, dtype: torch.dtype) -> list[Tensor]:
        """Return the gradients."""
        raw = self.raw(dtype)
        criterion(as_maps(raw), self.targets, StepContext()).total.backward()
        return [x.grad for x in raw if x.grad is not None]

    def check(self, criterion: Criterion, variant: str, dtype: torch.dtype, numbers: slice = slice(None)) -> None:
        """Compare the criterion's gradients with the program's deltas, for `numbers` of each prediction."""
        for i, gradient in enumerate(self.run(criterion, dtype)):
            assert_delta(gradient[:, :, numbers], self.arrays[f"{variant}__delta{i}"][:, :, numbers])
