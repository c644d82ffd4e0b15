"""Learning rate, momentum and gradient accumulation at every step of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.recipe import Optimizer, Schedule

MAX_WARMUP = 1 / 3  # of a short run
MAX_FLAT = 1 / 2


@dataclass(frozen=True)
class StepSettings:
    """Optimizer settings at one step."""

    lr: float
    """Learning rate."""
    bias_lr: float
    """Learning rate of biases."""
    momentum: float
    """Momentum of SGD."""
    accumulate: int
    """Batches per optimizer step."""


@dataclass(frozen=True)
class LRSchedule:
    """Schedule of a run of given length. Steps are batches, counted from 0 over the run."""

    schedule: Schedule
    """Schedule of the recipe."""
    optimizer: Optimizer
    """Optimizer settings of the recipe."""
    epochs: int
    """Epochs of the run."""
    steps_per_epoch: int
    """Batches per epoch."""
    batch: int
    """Images per batch over all ranks."""

    def at(self, step: int) -> StepSettings:
        """Return the settings at a step."""
        s, lr = self.schedule, self.base_lr * self.factor(step)
        start, momentum = s.warmup_from * self.base_lr, self.optimizer.momentum
        return StepSettings(
            lr=self._warm_up(start, lr, step, s.warmup_power),
            bias_lr=self._warm_up(s.warmup_bias_lr or start, lr, step, s.warmup_power),
            momentum=self._warm_up(momentum if s.warmup_momentum is None else s.warmup_momentum, momentum, step),
            accumulate=self._accumulate(step),
        )

    @property
    def total_steps(self) -> int:
        """Batches of the run."""
        return self.epochs * self.steps_per_epoch

    @property
    def warmup_steps(self) -> int:
        """Batches of the warm-up."""
        return max(round(self.schedule.warmup_epochs * self.steps_per_epoch), self.schedule.warmup_min_steps)

    @property
    def base_lr(self) -> float:
        """Learning rate before factors: the optimizer's, scaled to this batch size where the recipe says so."""
        o = self.optimizer
        return o.lr if o.accumulate or not o.nominal_batch else o.lr * self.batch / o.nominal_batch

    def factor(self, step: int) -> float:
        """Return the decay factor at a step: 1 at the start, `final` at the end."""
        s = self.schedule
        if s.kind == "step":
            return s.factor ** sum(step >= round(fraction * self.total_steps) for fraction in s.milestones)
        progress = self._progress(step)
        remaining = (1 + math.cos(math.pi * progress)) / 2 if s.kind == "cosine" else 1 - progress
        return s.final + (1 - s.final) * remaining

    def _progress(self, step: int) -> float:
        """Return the progress of the decay, 0 to 1."""
        s, flat_from = self.schedule, self.total_steps - self.schedule.flat_epochs * self.steps_per_epoch
        if s.flat_epochs and step >= flat_from:
            return 1.0
        if not s.by_step:
            return step // self.steps_per_epoch / self.epochs
        return min(max(step - self.warmup_steps, 0) / max(flat_from - self.warmup_steps, 1), 1.0)

    def _warm_up(self, start: float, target: float, step: int, power: float = 1.0) -> float:
        """Interpolate from `start` to `target` over the warm-up."""
        if step >= self.warmup_steps:
            return target
        return start + (target - start) * math.pow(step / self.warmup_steps, power)

    def _accumulate(self, step: int) -> int:
        """Return the batches per optimizer step, which rise from 1 during warm-up (YOLOv5)."""
        o = self.optimizer
        return max(round(self._warm_up(1.0, o.nominal_batch / self.batch, step)), 1) if o.accumulate else 1


def fit_to_run(schedule: Schedule, epochs: int, steps_per_epoch: int) -> Schedule:
    """Limit warm-up and flat epochs to a third and a half of a short run."""
    max_steps = int(MAX_WARMUP * epochs * steps_per_epoch)
    return replace(
        schedule,
        warmup_epochs=min(schedule.warmup_epochs, MAX_WARMUP * epochs),
        warmup_min_steps=min(schedule.warmup_min_steps, max_steps),
        flat_epochs=min(schedule.flat_epochs, int(MAX_FLAT * epochs)),
    )
