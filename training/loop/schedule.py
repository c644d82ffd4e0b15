"""Learning rates, momentum and accumulation at every step of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.recipe import Optimizer, Schedule

MAX_WARMUP = 1 / 3  # of a short run
MAX_FLAT = 1 / 2


@dataclass(frozen=True)
class StepSettings:
    """What holds at one step: lr, that of biases, momentum, and how many batches make one step of the optimizer."""

    lr: float
    bias_lr: float
    momentum: float
    accumulate: int


@dataclass(frozen=True)
class LRSchedule:
    """A schedule laid out over a run of `epochs` times `steps_per_epoch` batches of `batch` images."""

    schedule: Schedule
    optimizer: Optimizer
    epochs: int
    steps_per_epoch: int
    batch: int

    def at(self, step: int) -> StepSettings:
        """Return what holds at a batch, counted from 0 over the run."""
        s, lr = self.schedule, self.base_lr * self.factor(step)
        start, momentum = s.warmup_from * self.base_lr, self.optimizer.momentum
        return StepSettings(
            lr=self._warm(start, lr, step, s.warmup_power),
            bias_lr=self._warm(s.warmup_bias_lr or start, lr, step, s.warmup_power),
            momentum=self._warm(momentum if s.warmup_momentum is None else s.warmup_momentum, momentum, step),
            accumulate=self._accumulate(step),
        )

    @property
    def steps(self) -> int:
        """Batches of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def warmup(self) -> int:
        """Batches that warm up."""
        return max(round(self.schedule.warmup_epochs * self.steps_per_epoch), self.schedule.warmup_min_steps)

    @property
    def base_lr(self) -> float:
        """The optimizer's lr, for the nominal batch, scaled to this one, or for any."""
        o = self.optimizer
        return o.lr if o.accumulate or not o.nominal_batch else o.lr * self.batch / o.nominal_batch

    def factor(self, step: int) -> float:
        """Return the factor on lr after the warm-up: 1 at the beginning, `final` at the end."""
        s = self.schedule
        if s.kind == "step":
            return s.factor ** sum(step >= round(share * self.steps) for share in s.milestones)
        done = self._done(step)
        remaining = (1 + math.cos(math.pi * done)) / 2 if s.kind == "cosine" else 1 - done
        return s.final + (1 - s.final) * remaining

    def _done(self, step: int) -> float:
        """Return how far the factor has come, 0 to 1."""
        s, flat_from = self.schedule, self.steps - self.schedule.flat_epochs * self.steps_per_epoch
        if s.flat_epochs and step >= flat_from:
            return 1.0
        if not s.by_step:
            return step // self.steps_per_epoch / self.epochs
        return min(max(step - self.warmup, 0) / max(flat_from - self.warmup, 1), 1.0)

    def _warm(self, start: float, target: float, step: int, power: float = 1.0) -> float:
        """Go from `start` to `target` in the steps of the warm-up."""
        if step >= self.warmup:
            return target
        return start + (target - start) * math.pow(step / self.warmup, power)

    def _accumulate(self, step: int) -> int:
        """Return how many batches make the nominal one; in the warm-up they rise from one (YOLOv5)."""
        o = self.optimizer
        return max(round(self._warm(1.0, o.nominal_batch / self.batch, step)), 1) if o.accumulate else 1


def fit_to_run(schedule: Schedule, epochs: int, steps_per_epoch: int) -> Schedule:
    """Keep a short run from being all warm-up or all flat end: at most a third of it, and a half."""
    most_steps = int(MAX_WARMUP * epochs * steps_per_epoch)
    return replace(
        schedule,
        warmup_epochs=min(schedule.warmup_epochs, MAX_WARMUP * epochs),
        warmup_min_steps=min(schedule.warmup_min_steps, most_steps),
        flat_epochs=min(schedule.flat_epochs, int(MAX_FLAT * epochs)),
    )
