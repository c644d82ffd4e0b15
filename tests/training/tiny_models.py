"""A tiny run: the test variant of YOLOv5, images of colored rectangles, and a criterion without an assigner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.registry import build
from training.batch import Batch, Sample, Targets, collate
from training.config import TrainConfig
from training.evaluate.coco import ClassMetrics, Metrics
from training.loop.distributed import ProcessGroup
from training.loop.engine import TrainLoop
from training.loop.optimizer import trainable_parameters
from training.loop.precision import ComputePrecision
from training.loop.schedule import LRSchedule
from training.losses.criterion import Criterion, Losses, StepContext
from training.recipe import Optimizer, Recipe, Schedule
from training.run.checkpoint import TrainingState
from training.run.trainer import Trainer

SIDE = 64
CLASSES = ("square", "bar")
CPU = ComputePrecision(torch.device("cpu"), torch.float32)
ONE_RANK = ProcessGroup()


class ToyCriterion(Criterion):
    """Squared distance of raw maps from the fraction of the image that objects cover: a mean over images, or a sum."""

    def __init__(self, per_image: bool = False) -> None:
        super().__init__()
        self.per_image = per_image

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        sizes = targets.boxes[:, 2:] - targets.boxes[:, :2]
        covered = (
            maps[0]
            .new_zeros(len(maps[0]))
            .index_add(0, targets.image_index, (sizes.prod(1) / SIDE**2).to(maps[0].dtype))
        )
        parts = {f"level{i}": self._part(m, covered) for i, m in enumerate(maps)}
        return Losses(torch.stack(list(parts.values())).sum(), {k: v.detach() for k, v in parts.items()})

    def _part(self, level: Tensor, covered: Tensor) -> Tensor:
        by_image = (level.flatten(1) - covered[:, None]).square().mean(1)
        return by_image.sum() if self.per_image else by_image.mean()


class NaNCriterion(ToyCriterion):
    """A loss of NaN in the third batch."""

    batches = 0

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        self.batches += 1
        losses = super().forward(maps, targets, context)
        return losses if self.batches != 3 else Losses(losses.total * torch.nan, losses.parts)


@dataclass(frozen=True)
class ToyLoader:
    """Random batches that depend on epoch and index only. Each rank gets its share of every batch."""

    steps_per_epoch: int = 4
    batch: int = 4
    rank: int = 0
    world_size: int = 1

    def epoch(self, epoch: int, close_mosaic: bool = False, start_step: int = 0) -> Iterator[Batch]:
        for step in range(start_step, self.steps_per_epoch):
            rng = np.random.default_rng((epoch, step))
            samples = [toy_sample(rng) for _ in range(self.batch)]
            share = self.batch // self.world_size
            yield collate(samples[self.rank * share : (self.rank + 1) * share])

    def close(self) -> None: ...


LOADER = ToyLoader()


def toy_sample(rng: np.random.Generator) -> Sample:
    pixels = rng.integers(0, 100, (SIDE, SIDE, 3), dtype=np.uint8)
    boxes = np.empty((2, 4), dtype=np.float32)
    for box in boxes:
        x, y = rng.integers(0, SIDE // 2, 2)
        w, h = rng.integers(8, SIDE // 2, 2)
        box[:] = x, y, x + w, y + h
        pixels[y : y + h, x : x + w] = rng.integers(100, 255, 3)
    return Sample(pixels, boxes, np.array([0, 1]))


TOY = Recipe(
    criterion=lambda _: ToyCriterion(),
    source="test",
    reduction="mean",
    optimizer=Optimizer(lr=0.02, nominal_batch=8),
    schedule=Schedule(warmup_epochs=1, warmup_min_steps=0, warmup_bias_lr=0.1, warmup_momentum=0.8),
    epochs=3,
)


def toy_detector(variant: str = "yolov5-test") -> Detector:
    torch.manual_seed(0)
    return build(variant, class_names=CLASSES)


def toy_loop(
    recipe: Recipe = TOY,
    loader: ToyLoader = LOADER,
    compute: ComputePrecision = CPU,
    group: ProcessGroup = ONE_RANK,
    detector: Detector | None = None,
) -> TrainLoop:
    lr_schedule = LRSchedule(recipe.schedule, recipe.optimizer, recipe.epochs, loader.steps_per_epoch, loader.batch)
    return TrainLoop(detector or toy_detector(), recipe, lr_schedule, compute, group)


def toy_evaluate(detector: Detector) -> Metrics:
    """Metrics that depend on every weight, as AP does."""
    ap = float(sum(value.double().abs().sum() for value in detector.state_dict().values()) % 1)
    return constant_metrics(ap)


def constant_metrics(ap: float) -> Metrics:
    return Metrics(*[ap] * 12, classes=(ClassMetrics("square", 3, ap, ap),))


CONFIG = TrainConfig(model="yolov5-test", data=Path("data"), save_minutes=1e-9)


def toy_trainer(
    folder: Path, recipe: Recipe = TOY, config: TrainConfig = CONFIG, loop: TrainLoop | None = None
) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(loop or toy_loop(recipe), LOADER, toy_evaluate, config, folder, TrainingState())


def state_of(loop: TrainLoop) -> dict[str, Tensor]:
    """Every tensor of a run: weights, averaged weights and optimizer buffers."""
    parts = {"detector": loop.detector.state_dict(), "average": loop.average.detector.state_dict()}
    named = {f"{part}/{key}": value.clone() for part, state in parts.items() for key, value in state.items()}
    for name, parameter in trainable_parameters(loop.detector):
        buffers = loop.optimizer.state[parameter]
        named |= {f"optimizer/{name}/{key}": value.clone() for key, value in buffers.items()}
    return named


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [key for key, value in first.items() if not torch.equal(value, second[key])]
    assert different == []
