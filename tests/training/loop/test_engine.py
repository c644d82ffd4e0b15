"""TrainLoop: accumulation, clipping, freezing, dropout seeds, and non-finite losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model_zoo.registry import build
from tests.training.tiny_models import (
    CLASSES,
    CPU,
    LOADER,
    ONE_RANK,
    TOY,
    NaNCriterion,
    ToyCriterion,
    ToyLoader,
    assert_same,
    state_of,
    toy_detector,
    toy_loop,
)
from training.batch import Batch
from training.loop.engine import TrainLoop
from training.loop.nonfinite import NonFiniteError
from training.loop.precision import ComputePrecision
from training.loop.schedule import LRSchedule
from training.losses.criterion import Criterion, Losses, StepContext
from training.recipe import Schedule

CONSTANT = replace(TOY, schedule=Schedule(kind="step", warmup_epochs=0, warmup_min_steps=0))  # one lr, no warm-up
EVERY_BATCH = replace(CONSTANT.optimizer, accumulate=False)
PLAIN_SGD = replace(CONSTANT.optimizer, momentum=0.0, nesterov=False, weight_decay=0.0)


def train(loop: TrainLoop, loader: ToyLoader = LOADER, epoch: int = 0) -> list[bool]:
    return [result.stepped for result in loop.train_epoch(loader, epoch)]


def copy_parameters(loop: TrainLoop) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in loop.parameters]


def all_equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_batches_accumulate_to_the_nominal_batch_and_the_epoch_ends_with_a_step() -> None:
    recipe = replace(CONSTANT, optimizer=replace(CONSTANT.optimizer, nominal_batch=12))
    assert train(toy_loop(recipe), ToyLoader()) == [False, False, True, True]


@pytest.mark.parametrize("reduction", ["mean", "per_image", "sum"])
def test_accumulated_gradients_equal_those_of_one_large_batch(reduction: str) -> None:
    """Batch norms stay in evaluation mode, because their statistics depend on the batch."""
    recipe = replace(
        CONSTANT,
        reduction=reduction,
        criterion=lambda _: ToyCriterion(per_image=reduction != "mean"),
        optimizer=replace(PLAIN_SGD, lr=1.0),
    )
    updates = []
    for steps, batch in ((2, 4), (1, 8)):
        loop = toy_loop(recipe, Regrouped(steps, batch), detector=toy_detector())
        loop._train_mode = loop.detector.eval
        train(loop, Regrouped(steps, batch))
        updates.append(loop.detector.head.predict[0].bias.detach() - toy_detector().head.predict[0].bias.detach())
    torch.testing.assert_close(*updates, rtol=1e-4, atol=1e-7)
    assert float(updates[0].abs().max()) > 0.01


class Regrouped(ToyLoader):
    """The same eight images in batches of any size."""

    def epoch(self, epoch: int, close_mosaic: bool = False, start_step: int = 0) -> Iterator[Batch]:
        [batch] = ToyLoader(1, 8).epoch(epoch)
        for first in range(0, 8, self.batch):
            index, class_ids, boxes = batch.targets
            inside = (index >= first) & (index < first + self.batch)
            targets = type(batch.targets)(index[inside] - first, class_ids[inside], boxes[inside])
            yield type(batch)(batch.images[first : first + self.batch], targets)


def test_gradients_are_clipped_to_a_norm() -> None:
    norms = {}
    for clip in (0.0, 1e-3):
        optimizer = replace(PLAIN_SGD, clip_norm=clip, accumulate=False)
        loop = toy_loop(replace(CONSTANT, optimizer=optimizer), ToyLoader(1))
        before = copy_parameters(loop)
        train(loop, ToyLoader(1))
        update = torch.cat([(a - b.detach()).flatten() for a, b in zip(before, loop.parameters, strict=True)])
        norms[clip] = float(update.norm()) / (optimizer.lr * 4 / optimizer.nominal_batch)
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-2)
    assert norms[0.0] > 1


def test_frozen_modules_keep_weights_and_statistics() -> None:
    detector = toy_detector()
    lr_schedule = LRSchedule(CONSTANT.schedule, CONSTANT.optimizer, 3, 4, 4)
    loop = TrainLoop(detector, CONSTANT, lr_schedule, CPU, ONE_RANK, frozen=[detector.backbone])
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    train(loop)
    changed = {key.split(".")[0] for key, value in detector.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"neck", "head"}


class ContextCriterion(ToyCriterion):
    """Records the context of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: list[StepContext] = []

    def forward(self, maps, targets, context) -> Losses:
        self.contexts.append(context)
        return super().forward(maps, targets, context)


def test_criterion_gets_the_context_of_each_step() -> None:
    augmentation = replace(CONSTANT.augmentation, close_mosaic=1)
    loop = toy_loop(replace(CONSTANT, criterion=lambda _: ContextCriterion(), augmentation=augmentation))
    for epoch in range(3):
        train(loop, epoch=epoch)
    assert isinstance(loop.criterion, ContextCriterion)
    contexts = loop.criterion.contexts
    assert [(c.epoch, c.close_mosaic) for c in contexts[3::4]] == [(0, False), (1, False), (2, True)]
    assert [c.images_seen for c in contexts] == list(range(0, 48, 4))
    assert {c.epochs for c in contexts} == {3}


class DtypeCriterion(ToyCriterion):
    """Records the dtype of maps, and whether autocast is enabled."""

    def __init__(self, seen: set[object]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, maps, targets, context) -> Losses:
        self.seen |= {m.dtype for m in maps} | {torch.is_autocast_enabled("cpu")}
        return super().forward(maps, targets, context)


def test_criterion_computes_in_float32_outside_autocast() -> None:
    def criterion(detector: torch.nn.Module) -> Criterion:
        detector.neck.register_forward_hook(lambda _, __, maps: network_dtypes.update(m.dtype for m in maps))
        return DtypeCriterion(seen)

    network_dtypes, seen = set[torch.dtype](), set[object]()
    train(toy_loop(replace(CONSTANT, criterion=criterion), compute=ComputePrecision(CPU.device, torch.bfloat16)))
    assert network_dtypes == {torch.bfloat16}
    assert seen == {torch.float32, False}


def test_random_numbers_of_a_step_depend_on_seed_and_step_only() -> None:
    """YOLOv1's dropout drops the same features in a resumed run."""
    loops = [toy_loop(CONSTANT, detector=build("yolov5-test", class_names=CLASSES)) for _ in range(2)]
    loops[1].detector.load_state_dict(loops[0].detector.state_dict())
    drawn: list[list[float]] = []
    for loop in loops:
        torch.rand(len(drawn))  # disturbs the global random state
        drawn.append([float(torch.rand(1)) for _ in loop.train_epoch(LOADER, 1)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 4


def test_non_finite_loss_stops_before_the_weights_change() -> None:
    loop = toy_loop(replace(CONSTANT, criterion=lambda _: NaNCriterion()))
    with pytest.raises(NonFiniteError, match="expected a finite loss; got level0 "):
        train(loop)
    assert all(torch.isfinite(value).all() for value in loop.average.detector.state_dict().values())
    assert all(torch.isfinite(value).all() for value in loop.parameters)


class InfiniteGradientCriterion(ToyCriterion):
    """A finite loss with an infinite gradient."""

    def forward(self, maps, targets, context) -> Losses:
        losses = super().forward(maps, targets, context)
        return Losses(losses.total + (maps[0] * 0).clamp(min=0).sqrt().sum(), losses.parts)


def test_non_finite_gradient_stops_as_well() -> None:
    loop = toy_loop(replace(CONSTANT, criterion=lambda _: InfiniteGradientCriterion()))
    with pytest.raises(NonFiniteError, match="expected a finite gradient"):
        train(loop)


class OverflowCriterion(ToyCriterion):
    """An infinite loss in the first batches, as after an overflow in fp16."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches_left = batches

    def forward(self, maps, targets, context) -> Losses:
        losses = super().forward(maps, targets, context)
        self.batches_left -= 1
        return losses if self.batches_left < 0 else Losses(losses.total * torch.inf, losses.parts)


def overflow_loop(batches: int, loader: ToyLoader) -> TrainLoop:
    recipe = replace(CONSTANT, criterion=lambda _: OverflowCriterion(batches), optimizer=EVERY_BATCH)
    return toy_loop(recipe, loader, ComputePrecision(CPU.device, torch.float16))


def test_overflow_in_fp16_skips_the_step_and_halves_the_scale() -> None:
    """CPUs differ in where real fp16 gradients overflow at a large scale. On each one, some step must be made."""
    loader = ToyLoader(16)
    loop = overflow_loop(1, loader)
    made: list[bool] = []
    scale, before = loop.scaler.get_scale(), copy_parameters(loop)
    for _ in loop.train_epoch(loader, 0):
        made.append(loop.scaler.get_scale() == scale)
        assert loop.scaler.get_scale() == (scale if made[-1] else scale / 2)
        assert all_equal(before, copy_parameters(loop)) != made[-1]
        assert all(bool(torch.isfinite(parameter).all()) for parameter in loop.parameters)
        scale, before = loop.scaler.get_scale(), copy_parameters(loop)
    assert not made[0]
    assert any(made)


def test_momentum_starts_at_zero_in_fp16() -> None:
    """Fused SGD would leave it uninitialized if the scaler skips the first step."""
    loop = overflow_loop(1, LOADER)
    assert len(loop.optimizer.state) == len(loop.parameters)
    assert not any(bool(state["momentum_buffer"].any()) for state in loop.optimizer.state.values())


def test_endless_overflow_in_fp16_is_an_error() -> None:
    loader = ToyLoader(20)
    loop = overflow_loop(99, loader)
    with pytest.raises(NonFiniteError, match="expected a finite loss"):
        train(loop, loader)
    assert loop.scaler.get_scale() == 1


def test_same_seed_gives_the_same_run() -> None:
    states = []
    for _ in range(2):
        loop = toy_loop(detector=toy_detector())
        train(loop)
        states.append(state_of(loop))
    assert_same(*states)
