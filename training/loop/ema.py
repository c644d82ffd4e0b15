"""Exponential moving average of everything a detector learns, running statistics included.

The averaged weights are evaluated and saved. The decay warms up, decay * (1 - exp(-updates / ramp)), which soon
forgets the weights of the first steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from model_zoo.detector import Detector


class AveragedDetector:
    """A detector whose weights are the moving average of another's."""

    def __init__(self, detector: Detector, decay: float, ramp: int) -> None:
        """Start from a copy of `detector`.

        Args:
            detector: Detector to average.
            decay: Decay of the average; 0 keeps a plain copy.
            ramp: Updates over which the decay reaches 63 % of `decay`; 0 for no warm-up.
        """
        self.detector = copy.deepcopy(detector).eval().requires_grad_(False)
        self.decay, self.ramp, self.updates = decay, ramp, 0
        averages, sources = self.detector.state_dict(), detector.state_dict(keep_vars=True)
        pairs = [(averages[key], value.detach()) for key, value in sources.items()]  # views, so updates are seen
        self._averaged = _unzip((a, b) for a, b in pairs if a.is_floating_point())
        self._copied = _unzip((a, b) for a, b in pairs if not a.is_floating_point())

    @torch.no_grad()
    def update(self) -> None:
        """Update the average after a step of the optimizer."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.ramp)) if self.ramp else self.decay
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)


def _unzip(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    rows = list(pairs)
    return [a for a, _ in rows], [b for _, b in rows]
