"""Running estimates of durations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MEAN_GAIN: Final = 1 / 8
RISE, FALL = 1 / 4, 1 / 128


@dataclass
class Estimate:
    """Running mean and mean deviation, with the gains of RFC 6298 (section 2).

    The deviation falls more slowly than there, so that `bound` also covers delays that are rare.
    """

    mean: float = 0.0
    """Mean of the samples."""
    deviation: float = 0.0
    """Mean absolute deviation."""
    is_empty: bool = True
    """Whether there is no sample yet."""

    @property
    def bound(self) -> float:
        """A value that few samples exceed: the mean plus 4 deviations."""
        return self.mean + 4 * self.deviation

    def add(self, sample: float) -> None:
        """Take a sample into account."""
        if self.is_empty:
            self.mean, self.is_empty = sample, False
            return
        error = abs(sample - self.mean)
        self.deviation += (error - self.deviation) * (RISE if error > self.deviation else FALL)
        self.mean += (sample - self.mean) * MEAN_GAIN
