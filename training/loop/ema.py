"""The averaged weights: an exponential moving average of everything a detector learns, running statistics included.

They are what is evaluated and kept. The average warms up, decay * (1 - exp(-updates / ramp)): weights of the first
steps are soon forgotten.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from model_zoo.detector import Detector


class AveragedDetector:
    """A detector whose weights follow those of another.

    decay: towards 1 the slower; 0 makes it a copy. ramp: updates after which it has come to 63 % of `decay`.
    """

    def __init__(self, detector: Detector, decay: float, ramp: int) -> None:
        self.detector = copy.deepcopy(detector).eval().requires_grad_(False)
        self.decay, self.ramp, self.updates = decay, ramp, 0
        own, followed = self.detector.state_dict(), detector.state_dict(keep_vars=True)
        pairs = [(own[key], value.detach()) for key, value in followed.items()]  # views: updates are seen
        self._averaged = _columns((a, b) for a, b in pairs if a.is_floating_point())
        self._copied = _columns((a, b) for a, b in pairs if not a.is_floating_point())

    @torch.no_grad()
    def update(self) -> None:
        """Follow one step of the optimizer."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.ramp)) if self.ramp else self.decay
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)


def _columns(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    rows = list(pairs)
    return [a for a, _ in rows], [b for _, b in rows]
