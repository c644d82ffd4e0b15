"""The criterion: from raw maps and objects to the losses of one generation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.batch import Targets


@dataclass(frozen=True)
class StepContext:
    """Position of a step in its run."""

    epoch: int = 0
    """Current epoch, from 0."""
    epochs: int = 1
    """Epochs of the run."""
    images_seen: int = 0
    """Images trained on before this batch, over all ranks."""
    close_mosaic: bool = False
    """Whether this epoch trains without mosaic and mixup; YOLOX then adds its L1 loss."""


@dataclass(frozen=True, eq=False)
class Losses:
    """What one batch costs: `total` to go back from, and its weighted parts by name, detached, that sum to it."""

    total: Tensor
    parts: Mapping[str, Tensor]

    @classmethod
    def of(cls, parts: Mapping[str, Tensor]) -> Losses:
        """Sum weighted parts that still have their gradients."""
        total = torch.stack(list(parts.values())).sum()
        return cls(total, {name: part.detach() for name, part in parts.items()})


class Criterion(nn.Module, ABC):
    """The losses of one generation and the assigner that decides which predictions learn which objects.

    Computes in the dtype of the maps, float32 or float64, outside autocast. Divide losses by a count from
    `training.loop.distributed.average_over_ranks`, so that N ranks learn what one with all images would.
    """

    @abstractmethod
    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        """Return the losses of raw maps as `Detector.forward` gives them in training mode."""
