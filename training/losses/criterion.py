"""Interface of the criteria, which compute the losses of one generation from raw maps and objects."""

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
    """Whether this epoch trains without mosaic and mixup, where YOLOX adds its L1 loss."""


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses of one batch."""

    total: Tensor
    """Sum of the parts, with gradient."""
    parts: Mapping[str, Tensor]
    """Weighted losses by name, detached."""

    @classmethod
    def of(cls, parts: Mapping[str, Tensor]) -> Losses:
        """Sum weighted losses, given with gradient."""
        total = torch.stack(list(parts.values())).sum()
        return cls(total, {name: part.detach() for name, part in parts.items()})


class Criterion(nn.Module, ABC):
    """The losses of one generation, with the assigner that decides which predictions learn which objects.

    Subclasses compute in the dtype of the maps, float32 or float64, outside autocast. A loss that is divided by a count
    is divided by its `training.loop.distributed.average_over_ranks`. So N ranks learn what one rank with all images
    would.
    """

    @abstractmethod
    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        """Return the losses of the raw maps that `Detector.forward` returns in training mode."""
