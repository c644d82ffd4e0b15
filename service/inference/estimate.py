"""Running estimates of durations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Estimate:
    """Running mean and mean deviation, with the gains of RFC 6298 (section 2)."""

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
            self.mean, self.deviation, self.is_empty = sample, abs(sample) / 2, False
        else:
            self.deviation += (abs(sample - self.mean) - self.deviation) / 4
            self.mean += (sample - self.mean) / 8
