"""Reference cases, random scenes and a short training for the criteria of YOLOv5 and YOLOv7."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model_zoo.contract.boxes import aligned_iou
from model_zoo.detector import Detector, InputSpec, to_network
from model_zoo.families.yolov5 import P5_ANCHORS
from model_zoo.heads.anchor import AnchorHead, Anchors
from model_zoo.registry import build
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.yolov5 import Gains
from training.recipe import Recipe

PARTS = ("box", "objectness", "classes")
YOLOV7_GAINS = Gains(classes=0.3, objectness=0.7)
# Reference case of YOLOv7, kind of its criterion, and the lead's top_k.
YOLOV7_KINDS = [
    ("basic_nc3", "ota", 10),
    ("basic_nc3", "aux", 20),
    ("basic_nc3", "auxlead10", 10),
    ("basic_nc80", "ota", 10),
    ("basic_nc80", "aux", 20),
]


def head_only_detector(num_classes: int, anchors: Anchors = P5_ANCHORS, size: int = 160) -> Detector:
    """Return a detector that consists of its head only, as a criterion needs it."""
    strides = (8, 16, 32, 64)[: len(anchors)]
    head = AnchorHead((1,) * len(anchors), num_classes, anchors, strides)
    names = [str(i) for i in range(num_classes)]
    return Detector("yolov5", "head_only", nn.Identity(), nn.Identity(), head, InputSpec((size, size)), names)


class Case:
    """A reference case: inputs and outputs of the original program."""

    def __init__(self, shared: Path, family: str, name: str) -> None:
        self.arrays = np.load(shared / "parity/training" / f"{family}_loss" / f"{name}.npz")
        self.num_classes = int(name.removeprefix("basic_nc"))
        anchors = tuple(tuple((w, h) for w, h in level) for level in self.arrays["anchors_px"].tolist())
        self.detector = head_only_detector(self.num_classes, anchors)

    def maps(self, dtype: torch.dtype, auxiliary: bool = False) -> list[Tensor]:
        names = [f"{kind}{i}" for kind in ("pred", "predaux")[: 1 + auxiliary] for i in range(3)]
        return [torch.from_numpy(self.arrays[name]).to(dtype).requires_grad_() for name in names]

    def targets(self, dtype: torch.dtype) -> Targets:
        rows = torch.from_numpy(self.arrays["targets"]).to(dtype)
        centers, halves = rows[:, 2:4] * 160, rows[:, 4:] * 80
        return Targets(rows[:, 0].long(), rows[:, 1].long(), torch.cat([centers - halves, centers + halves], dim=1))

    def check(self, kind: str, losses: Losses, maps: Sequence[Tensor], rtol: float, grad_tol: float) -> None:
        """Compare total, parts and gradients."""
        assert_close(losses.total.detach(), self.arrays[f"{kind}__loss"], rtol)
        batch = len(maps[0])
        for name, expected in zip(PARTS, self.arrays[f"{kind}__items"], strict=False):
            actual = sum(part for key, part in losses.parts.items() if key.endswith(name))
            assert_close(torch.as_tensor(actual) / batch, expected, rtol)
        losses.total.backward()
        names = [f"{kind}__grad{aux}{i}" for aux in ("", "aux") for i in range(3)]
        for m, name in zip(maps, names, strict=False):
            expected = self.arrays[name]
            assert m.grad is not None
            assert np.abs(m.grad.numpy() - expected).max() <= grad_tol * np.abs(expected).max()


def assert_close(actual: Tensor, expected: np.ndarray, rtol: float) -> None:
    torch.testing.assert_close(actual.double(), torch.as_tensor(expected).double(), rtol=rtol, atol=0)


def scene(
    objects: Sequence[int], num_classes: int = 3, size: tuple[int, int] = (160, 160), seed: int = 0, auxiliary: int = 1
) -> tuple[list[Tensor], Targets]:
    """Return random maps of three levels, `auxiliary` times, and random objects of all sizes: objects[i] in image i."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    maps = [
        torch.randn(len(objects), 3, height // s, width // s, 5 + num_classes, generator=generator).requires_grad_()
        for s in (8, 16, 32) * auxiliary
    ]
    count = sum(objects)
    canvas = torch.tensor([width, height])
    centers = torch.rand(count, 2, generator=generator) * canvas
    halves = torch.exp(torch.rand(count, 2, generator=generator) * 4 + 1)
    boxes = torch.cat([centers - halves, centers + halves], dim=1).clamp(min=0).minimum(canvas.repeat(2))
    image = torch.arange(len(objects)).repeat_interleave(torch.tensor(objects))
    return maps, Targets(image, torch.randint(num_classes, (count,), generator=generator), boxes)


def check_finite(criterion: Criterion, maps: Sequence[Tensor], targets: Targets) -> Losses:
    """Run a criterion forward and backward. Losses and gradients must be finite."""
    losses = criterion(maps, targets, StepContext())
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert losses.parts.keys() >= set(PARTS)
    torch.testing.assert_close(torch.stack(list(losses.parts.values())).sum(), losses.total.detach())
    assert all(m.grad is not None and bool(torch.isfinite(m.grad).all()) for m in maps)
    return losses


def overfit(variant: str, recipe: Recipe, size: int, steps: int, lr: float) -> None:
    """Overfit one image of two rectangles. Both must be detected, and nothing else."""
    torch.manual_seed(0)
    detector = build(variant, num_classes=3).train()
    image = torch.full((1, size, size, 3), 114, dtype=torch.uint8)
    boxes = torch.tensor([[8.0, 8.0, 40.0, 56.0], [60.0, 48.0, 120.0, 88.0]]) * (size / 128)
    for (x1, y1, x2, y2), color in zip(boxes.int().tolist(), ((250, 10, 10), (10, 10, 250)), strict=True):
        image[:, y1:y2, x1:x2] = torch.tensor(color, dtype=torch.uint8)
    x, targets = to_network(image, detector.input_spec), Targets(torch.zeros(2).long(), torch.tensor([0, 2]), boxes)
    criterion = recipe.criterion(detector)
    optimizer = torch.optim.Adam(detector.parameters(), lr)
    for step in range(steps):
        losses = criterion(detector(x), targets, StepContext(step, steps))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    with torch.no_grad():
        predicted, scores = detector.head.decode(detector.head.rows(maps := detector(x)), detector.head.priors(maps))
    for box, class_id in zip(boxes, targets.class_ids, strict=True):
        best = predicted[0, scores[0, :, class_id].argmax()]
        assert aligned_iou(best.numpy(), box.numpy()) > 0.8
        assert scores[0, :, class_id].max() > 0.5
    assert scores[0, :, 1].max() < 0.2
