"""The loop: what a step of the optimizer is made of, and what stops it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.registry import build
from tests.training.tiny_models import (
    CLASSES,
    CPU,
    LOADER,
    TOY,
    BrokenCriterion,
    ToyCriterion,
    ToyLoader,
    assert_same,
    state_of,
    toy_detector,
    toy_engine,
    toy_trainer,
)
from training.loop.engine import Engine
from training.loop.nonfinite import BrokenStep
from training.loop.precision import Arithmetic
from training.loop.schedule import LRSchedule
from training.losses.criterion import Criterion, Losses, StepContext
from training.recipe import Recipe, Schedule

EVEN = replace(TOY, schedule=Schedule(kind="step", warmup_epochs=0, warmup_min_steps=0))  # one lr, no warm-up


def learn(engine: Engine, loader: ToyLoader = LOADER, epoch: int = 0) -> list[bool]:
    return [learned.complete for learned in engine.learn(loader, epoch)]


def test_batches_are_added_up_to_the_nominal_one_and_none_is_left_over() -> None:
    recipe = replace(EVEN, optimizer=replace(EVEN.optimizer, nominal_batch=12))
    assert learn(toy_engine(recipe), ToyLoader()) == [False, False, True, True]


@pytest.mark.parametrize("reduction", ["mean", "per_image", "sum"])
def test_added_up_batches_give_the_gradients_of_one(reduction: str) -> None:
    """Batch norms are at rest: they would see other images together."""
    recipe = replace(
        EVEN,
        reduction=reduction,
        criterion=lambda _: ToyCriterion(per_image=reduction != "mean"),
        optimizer=replace(EVEN.optimizer, lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0),
    )
    moved = []
    for steps, batch in ((2, 4), (1, 8)):
        engine = toy_engine(recipe, Regrouped(steps, batch), detector=toy_detector())
        engine._train_mode = engine.detector.eval  # batch norms at rest
        learn(engine, Regrouped(steps, batch))
        moved.append(engine.detector.head.predict[0].bias.detach() - toy_detector().head.predict[0].bias.detach())
    torch.testing.assert_close(*moved, rtol=1e-4, atol=1e-7)
    assert float(moved[0].abs().max()) > 0.01


class Regrouped(ToyLoader):
    """Eight images, in batches of any size."""

    def epoch(self, epoch: int, close_mosaic: bool = False, start_step: int = 0):
        [batch] = ToyLoader(1, 8).epoch(epoch)
        for first in range(0, 8, self.batch):
            index = batch.targets.image_index
            mine = (index >= first) & (index < first + self.batch)
            targets = type(batch.targets)(index[mine] - first, batch.targets.class_ids[mine], batch.targets.boxes[mine])
            yield type(batch)(batch.images[first : first + self.batch], targets)


def test_gradients_are_clipped_to_a_norm() -> None:
    moved = {}
    for clip in (0.0, 1e-3):
        plain = replace(
            EVEN.optimizer, clip_norm=clip, momentum=0.0, nesterov=False, weight_decay=0.0, accumulate=False
        )
        engine = toy_engine(replace(EVEN, optimizer=plain), ToyLoader(1))
        before = [p.detach().clone() for p in engine.parameters]
        learn(engine, ToyLoader(1))
        steps = torch.cat([(a - b.detach()).flatten() for a, b in zip(before, engine.parameters, strict=True)])
        moved[clip] = float(steps.norm()) / (plain.lr * 4 / plain.nominal_batch)
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)
    assert moved[0.0] > 1


def test_what_is_frozen_stays_as_it_was() -> None:
    detector = toy_detector()
    timetable = LRSchedule(EVEN.schedule, EVEN.optimizer, 3, 4, 4)
    engine = Engine(detector, EVEN, timetable, CPU, toy_engine().processes, frozen=[detector.backbone])
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    learn(engine)
    moved = {key.split(".")[0] for key, value in detector.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"neck", "head"}


class Moments(ToyCriterion):
    """Remembers when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[StepContext] = []

    def forward(self, maps, targets, context) -> Losses:
        self.seen.append(context)
        return super().forward(maps, targets, context)


def test_the_criterion_is_told_when_it_is() -> None:
    recipe = replace(EVEN, criterion=lambda _: Moments(), augmentation=replace(EVEN.augmentation, close_mosaic=1))
    engine = toy_engine(recipe)
    for epoch in range(3):
        learn(engine, epoch=epoch)
    assert isinstance(engine.criterion, Moments)
    assert [(m.epoch, m.close_mosaic) for m in engine.criterion.seen[3::4]] == [(0, False), (1, False), (2, True)]
    assert [m.images_seen for m in engine.criterion.seen] == list(range(0, 48, 4))
    assert {m.epochs for m in engine.criterion.seen} == {3}


class Dtypes(ToyCriterion):
    """Remembers in which type maps arrive, and whether autocast is on."""

    seen = frozenset[object]()

    def forward(self, maps, targets, context) -> Losses:
        Dtypes.seen |= {m.dtype for m in maps} | {torch.is_autocast_enabled("cpu")}
        return super().forward(maps, targets, context)


def test_the_criterion_computes_in_float32_whatever_the_network_does() -> None:
    def criterion(detector: torch.nn.Module) -> Criterion:
        detector.neck.register_forward_hook(lambda _, __, maps: inside.update(m.dtype for m in maps))
        return Dtypes()

    inside = set[torch.dtype]()
    learn(toy_engine(replace(EVEN, criterion=criterion), arithmetic=Arithmetic(CPU.device, torch.bfloat16)))
    assert inside == {torch.bfloat16}
    assert Dtypes.seen == {torch.float32, False}


def test_chance_in_a_step_depends_on_the_seed_and_the_step_alone() -> None:
    """YOLOv1 drops features: from the second epoch on, or from there alone, they are the same."""
    engines = [toy_engine(EVEN, detector=build("yolov5-test", class_names=CLASSES)) for _ in range(2)]
    engines[1].detector.load_state_dict(engines[0].detector.state_dict())
    drawn: list[list[float]] = []
    for engine in engines:
        torch.rand(len(drawn))  # whatever was drawn before
        drawn.append([float(torch.rand(1)) for _ in engine.learn(LOADER, 1)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 4


def test_a_loss_that_is_not_finite_stops_before_the_weights_move() -> None:
    engine = toy_engine(replace(EVEN, criterion=lambda _: BrokenCriterion()))
    with pytest.raises(BrokenStep, match="expected a finite loss; got level0 "):
        learn(engine)
    assert all(torch.isfinite(value).all() for value in engine.average.detector.state_dict().values())
    assert all(torch.isfinite(value).all() for value in engine.parameters)


class Steep(ToyCriterion):
    """A finite loss whose gradient is not."""

    def forward(self, maps, targets, context) -> Losses:
        losses = super().forward(maps, targets, context)
        return Losses(losses.total + (maps[0] * 0).clamp(min=0).sqrt().sum(), losses.parts)


def test_a_gradient_that_is_not_finite_does_too() -> None:
    engine = toy_engine(replace(EVEN, criterion=lambda _: Steep()))
    with pytest.raises(BrokenStep, match="expected a finite gradient"):
        learn(engine)


class Overflowing(ToyCriterion):
    """Not finite in so many of the first batches, as where fp16 overflows."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def forward(self, maps, targets, context) -> Losses:
        losses = super().forward(maps, targets, context)
        self.left -= 1
        return losses if self.left < 0 else Losses(losses.total * torch.inf, losses.parts)


def test_a_step_that_overflows_in_fp16_is_left_out() -> None:
    recipe = replace(EVEN, criterion=lambda _: Overflowing(1), optimizer=replace(EVEN.optimizer, accumulate=False))
    engine = toy_engine(recipe, arithmetic=Arithmetic(CPU.device, torch.float16))
    before = [parameter.detach().clone() for parameter in engine.parameters]
    steps = engine.learn(LOADER, 0)
    next(steps)
    assert all(torch.equal(a, b) for a, b in zip(before, engine.parameters, strict=True))
    assert engine.scaler.get_scale() == 2**15
    next(steps)
    assert not all(torch.equal(a, b) for a, b in zip(before, engine.parameters, strict=True))


def test_steps_that_overflow_without_end_are_told() -> None:
    recipe = replace(EVEN, criterion=lambda _: Overflowing(99), optimizer=replace(EVEN.optimizer, accumulate=False))
    engine = toy_engine(recipe, ToyLoader(20), Arithmetic(CPU.device, torch.float16))
    with pytest.raises(BrokenStep, match="expected a finite loss"):
        learn(engine, ToyLoader(20))
    assert engine.scaler.get_scale() == 1


def test_the_batch_that_broke_a_run_is_laid_down(tmp_path: Path) -> None:
    recipe: Recipe = replace(EVEN, criterion=lambda _: BrokenCriterion())
    with pytest.raises(LineageError, match=r"epoch 1, batch 3.*broken_step.*--lr"):
        toy_trainer(tmp_path / "run", recipe).run()
    folder = tmp_path / "run" / "broken_step"
    document = json.loads((folder / "step.json").read_text(encoding="utf-8"))
    third = list(LOADER.epoch(0))[2]
    assert (document["epoch"], document["batch"], document["not_finite"]) == (1, 3, "loss")
    assert [entry["box"] for entry in document["objects"]] == third.targets.boxes.tolist()
    assert set(document["losses"]) == {"level0", "level1", "level2"}
    for number, pixels in enumerate(third.images.numpy()):
        np.testing.assert_array_equal(cv2.imread(str(folder / f"{number:03d}.png"))[..., ::-1], pixels)


def test_the_same_seed_gives_the_same_run() -> None:
    states = []
    for _ in range(2):
        engine = toy_engine()
        learn(engine)
        states.append(state_of(engine))
    assert_same(*states)
