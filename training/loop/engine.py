"""The loop: batch after batch through the network, its criterion, its optimizer, its average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from model_zoo.detector import Detector, to_network
from training.batch import Batch
from training.loop.distributed import Processes
from training.loop.ema import AveragedDetector
from training.loop.nonfinite import BatchRecord, BrokenStep
from training.loop.optimizer import build_optimizer, learned, set_pace
from training.loop.precision import Arithmetic
from training.loop.schedule import LRSchedule, StepSettings
from training.losses.criterion import StepContext
from training.recipe import Recipe


class Loader(Protocol):
    """What gives batches: as many in every epoch, each depending on nothing but the seed, the epoch and its place."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        ...

    def epoch(self, epoch: int, close_mosaic: bool, start_step: int, /) -> Iterator[Batch]:
        """Go through an epoch from one of its batches on; `close_mosaic` turns mosaic and mixup off."""
        ...

    def close(self) -> None:
        """End the processes that load."""
        ...


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one batch came to: its number in the epoch, whether the optimizer then stepped, losses by name, the pace."""

    batch: Batch
    number: int
    complete: bool
    parts: dict[str, Tensor]
    pace: StepSettings


class Engine:
    """Learns from batches.

    Weights move once for `accumulate` batches, and at the end of an epoch for what is left. Only then is a checkpoint
    exact: gradients are never kept.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: Recipe,
        timetable: LRSchedule,
        arithmetic: Arithmetic,
        processes: Processes,
        *,
        seed: int = 0,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        self.detector = detector.to(arithmetic.device)
        for parameter in detector.parameters():
            if parameter.ndim == 4:  # as images come, (B, H, W, C) in memory: faster, on CPUs too
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.recipe, self.timetable, self.arithmetic, self.processes = recipe, timetable, arithmetic, processes
        self.seed, self.frozen, self.images_seen = seed, frozen, 0
        for part in frozen:
            part.requires_grad_(False)
        self.average = AveragedDetector(detector, recipe.ema_decay, recipe.ema_ramp)
        self.network = processes.wrap(detector)
        self.criterion = recipe.criterion(detector).to(arithmetic.device)
        self.optimizer = build_optimizer(detector, timetable.optimizer, timetable.batch)
        self.parameters = [parameter for _, parameter in learned(detector)]
        self.scaler = arithmetic.scaler()
        self._pending: list[BatchRecord] = []  # batches since the last step of the optimizer

    def learn(self, loader: Loader, epoch: int, start: int = 0) -> Iterator[StepResult]:
        """Learn from the batches of an epoch, from `start` on."""
        close_mosaic = epoch >= self.timetable.epochs - self.recipe.augmentation.close_mosaic
        self._train_mode()
        for number, batch in enumerate(loader.epoch(epoch, close_mosaic, start), start):
            # 1) set the pace of this step, and the dice of its dropout
            step = epoch * self.timetable.steps_per_epoch + number
            pace = self.timetable.at(step)
            set_pace(self.optimizer, pace)
            torch.manual_seed(self._dropout_seed(step))
            complete = len(self._pending) + 1 >= pace.accumulate or number + 1 == self.timetable.steps_per_epoch
            # 2) from pixels to losses and back to gradients
            context = StepContext(epoch, self.timetable.epochs, self.images_seen, close_mosaic)
            parts = self._learn_from(number, batch, context, complete)
            self.images_seen += len(batch.images) * self.processes.world
            # 3) move the weights, and the average after them
            if complete:
                self._step()
            yield StepResult(batch, number, complete, parts, pace)

    def _learn_from(self, number: int, batch: Batch, context: StepContext, complete: bool) -> dict[str, Tensor]:
        """Add the gradients of one batch; return its losses by name."""
        device = self.arithmetic.device
        with nullcontext() if complete else self.processes.hold(self.network):
            images = to_network(batch.images.to(device, non_blocking=True), self.detector.input_spec)
            with self.arithmetic.lowered():
                maps = self.network(images)
            losses = self.criterion([m.float() for m in maps], batch.targets.to(device), context)
            self._backward(losses.total, maps)
        parts = dict(losses.parts)
        self._pending.append(BatchRecord(number, batch, losses.total.detach(), parts))
        return parts

    def _backward(self, total: Tensor, maps: Sequence[Tensor]) -> None:
        """Go back from the loss; several processes from every map too, with gradient zero, or one would wait in vain.

        A process without objects may have losses that some map has no part in. The others, which have, would ask it for
        the statistics of batch norms that it never comes by.
        """
        others = [] if self.processes.world == 1 else list(maps)
        torch.autograd.backward([self.scaler.scale(total), *others], [None, *map(torch.zeros_like, others)])

    def _step(self) -> None:
        """Move the weights by the gradients that have come together."""
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if (share := self._share()) != 1:
            torch._foreach_mul_(gradients, share)
        norm = nn.utils.get_total_norm(gradients)
        self._check(norm)
        if clip := self.timetable.optimizer.clip_norm:
            nn.utils.clip_grads_with_norm_(self.parameters, clip, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.average.update()
        self._pending.clear()

    def _share(self) -> float:
        """Return the factor on gradients that are averaged over processes and summed over batches."""
        if self.recipe.reduction == "sum":
            return self.processes.world
        return 1 / (len(self._pending) if self.recipe.reduction == "mean" else sum(t.images for t in self._pending))

    def _check(self, norm: Tensor) -> None:
        """Stop before a number that is not finite gets into the weights; here the GPU is waited for, once a step.

        A step that overflows in fp16 is none of this: the scaler leaves it out and scales less, until there is
        nothing left to scale.
        """
        finite = bool(torch.isfinite(torch.stack([norm, *(tried.total for tried in self._pending)])).all())
        if not finite and not (self.scaler.is_enabled() and self.scaler.get_scale() > 1):
            raise BrokenStep(self._pending)

    def _train_mode(self) -> None:
        self.network.train()
        for part in self.frozen:
            part.eval()

    def _dropout_seed(self, step: int) -> int:
        """Return what dropout is drawn by in one step of one process."""
        return int(np.random.SeedSequence((self.seed, step, self.processes.rank)).generate_state(1, np.uint64)[0])
