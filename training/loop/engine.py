"""Training loop: forward pass, losses, backward pass, optimizer step and weight averaging, batch by batch."""

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
from training.loop.dense_gradients import densify_gradients
from training.loop.distributed import ProcessGroup
from training.loop.ema import AveragedDetector
from training.loop.nonfinite import BatchRecord, NonFiniteError
from training.loop.optimizer import apply_settings, build_optimizer, trainable_parameters, zero_momentum
from training.loop.precision import ComputePrecision
from training.loop.schedule import LRSchedule, StepSettings
from training.losses.criterion import StepContext
from training.recipe import Recipe


class BatchSource(Protocol):
    """Source of batches. A batch depends on the seed, the epoch and its index only."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""
        ...

    def epoch(self, epoch: int, close_mosaic: bool, start_step: int, /) -> Iterator[Batch]:
        """Yield the batches of an epoch from `start_step` on, without mosaic and mixup if `close_mosaic`."""
        ...

    def close(self) -> None:
        """Stop the worker processes."""
        ...


@dataclass(frozen=True, eq=False)
class StepResult:
    """Result of training on one batch."""

    batch: Batch
    """Images and objects."""
    index: int
    """Index of the batch in the epoch, from 0."""
    stepped: bool
    """Whether the optimizer made a step after this batch."""
    parts: dict[str, Tensor]
    """Weighted losses by name, detached."""
    settings: StepSettings
    """Optimizer settings of the step."""


class TrainLoop:
    """Trains a detector on batches.

    The optimizer makes a step after `accumulate` batches, and at the end of an epoch with what is left. Checkpoints are
    exact only right after a step, because accumulated gradients are not saved.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: Recipe,
        lr_schedule: LRSchedule,
        compute: ComputePrecision,
        group: ProcessGroup,
        *,
        seed: int = 0,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        self.detector = detector.to(compute.device)
        for parameter in detector.parameters():
            if parameter.ndim == 4:  # channels last, as images are stored: faster, on CPUs too
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.recipe, self.lr_schedule, self.compute, self.group = recipe, lr_schedule, compute, group
        self.seed, self.frozen, self.images_seen = seed, frozen, 0
        for module in frozen:
            module.requires_grad_(False)
        self.average = AveragedDetector(detector, recipe.ema_decay, recipe.ema_ramp)
        if compute.device.type == "cpu":
            densify_gradients(detector)
        self.network = group.wrap(detector)
        self.criterion = recipe.criterion(detector).to(compute.device)
        self.optimizer = build_optimizer(detector, lr_schedule.optimizer, lr_schedule.batch)
        self.parameters = [parameter for _, parameter in trainable_parameters(detector)]
        self.scaler = compute.grad_scaler()
        if self.scaler.is_enabled():
            zero_momentum(self.optimizer)
        self._pending: list[BatchRecord] = []  # batches since the last optimizer step

    def train_epoch(self, source: BatchSource, epoch: int, start_step: int = 0) -> Iterator[StepResult]:
        """Train on the batches of an epoch from `start_step` on, and yield the result of each."""
        close_mosaic = epoch >= self.lr_schedule.epochs - self.recipe.augmentation.close_mosaic
        self._train_mode()
        for index, batch in enumerate(source.epoch(epoch, close_mosaic, start_step), start_step):
            # 1) apply the settings of this step, and seed its dropout
            step = epoch * self.lr_schedule.steps_per_epoch + index
            settings = self.lr_schedule.at(step)
            apply_settings(self.optimizer, settings)
            torch.manual_seed(self._dropout_seed(step))
            last_of_step = len(self._pending) + 1 >= settings.accumulate
            last_of_step |= index + 1 == self.lr_schedule.steps_per_epoch
            # 2) compute losses and add their gradients
            context = StepContext(epoch, self.lr_schedule.epochs, self.images_seen, close_mosaic)
            parts = self._add_gradients(index, batch, context, last_of_step)
            self.images_seen += len(batch.images) * self.group.world_size
            # 3) update the weights, then their average
            if last_of_step:
                self._step()
            yield StepResult(batch, index, last_of_step, parts, settings)

    def _add_gradients(self, index: int, batch: Batch, context: StepContext, sync: bool) -> dict[str, Tensor]:
        """Add the gradients of one batch and return its losses by name. `sync` averages gradients over ranks."""
        device = self.compute.device
        with nullcontext() if sync else self.group.no_sync(self.network):
            images = to_network(batch.images.to(device, non_blocking=True), self.detector.input_spec)
            with self.compute.autocast():
                maps = self.network(images)
            losses = self.criterion([m.float() for m in maps], batch.targets.to(device), context)
            self._backward(losses.total, maps)
        parts = dict(losses.parts)
        self._pending.append(BatchRecord(index, batch, losses.total.detach(), parts))
        return parts

    def _backward(self, total: Tensor, maps: Sequence[Tensor]) -> None:
        """Back-propagate the loss, and with several ranks a zero gradient from every map.

        On a rank without objects, some map may not contribute to the loss. Without its gradient, that rank would skip
        the all-reduce of synchronized batch norms, for which the other ranks wait.
        """
        others = [] if self.group.world_size == 1 else list(maps)
        torch.autograd.backward([self.scaler.scale(total), *others], [None, *map(torch.zeros_like, others)])

    def _step(self) -> None:
        """Update the weights by the accumulated gradients."""
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if (scale := self._gradient_scale()) != 1:
            torch._foreach_mul_(gradients, scale)
        norm = nn.utils.get_total_norm(gradients)
        self._check_finite(norm)
        if clip := self.lr_schedule.optimizer.clip_norm:
            nn.utils.clip_grads_with_norm_(self.parameters, clip, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.average.update()
        self._pending.clear()

    def _gradient_scale(self) -> float:
        """Return the factor for gradients averaged over ranks and summed over batches."""
        if self.recipe.reduction == "sum":
            return self.group.world_size
        if self.recipe.reduction == "mean":
            return 1 / len(self._pending)
        return 1 / sum(record.num_images for record in self._pending)

    def _check_finite(self, norm: Tensor) -> None:
        """Raise NonFiniteError before a non-finite number reaches the weights. Synchronizes the GPU once a step.

        An overflow in fp16 is not an error: the scaler skips the step and halves its scale, down to 1.
        """
        finite = bool(torch.isfinite(torch.stack([norm, *(record.total for record in self._pending)])).all())
        if not finite and not (self.scaler.is_enabled() and self.scaler.get_scale() > 1):
            raise NonFiniteError(self._pending)

    def _train_mode(self) -> None:
        self.network.train()
        for module in self.frozen:
            module.eval()

    def _dropout_seed(self, step: int) -> int:
        """Return the dropout seed for a step on this rank."""
        return int(np.random.SeedSequence((self.seed, step, self.group.rank)).generate_state(1, np.uint64)[0])
