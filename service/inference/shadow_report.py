"""Sums of the differences between the answers and a shadow version, and the images with the most differences."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Final, Literal

from model_zoo.contract.detection_diff import DetectionPair, Difference, count_differences
from model_zoo.contract.package import Package

Result = Literal["compared", "dropped", "failed"]
BINS: Final = 20
IOU_RANGE: Final = (0.5, 1.0)
SCORE_RANGE: Final = (-0.5, 0.5)  # larger changes are in the outer bins
MAX_COMPARISONS: Final = 50


def _bins() -> list[int]:
    return [0] * BINS


@dataclass(eq=False)
class Comparison:
    """Sums over the images that two versions of a model have seen."""

    primary: Package
    """Version that answered."""
    shadow: Package
    """Version that is compared with it."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    """Time of the first image (UTC)."""
    images: Counter[Result] = field(default_factory=Counter)
    """Images by what became of them."""
    different_images: int = 0
    """Compared images with a difference."""
    differences: Counter[tuple[str, Difference]] = field(default_factory=Counter)
    """Detections by label and difference."""
    ious: list[int] = field(default_factory=_bins)
    """Histogram of the IoU of the pairs, over IOU_RANGE."""
    score_changes: list[int] = field(default_factory=_bins)
    """Histogram of the score changes of the pairs, over SCORE_RANGE."""
    last_failure: str | None = None
    """Why the last failed image could not be compared."""

    def add(self, pairs: Sequence[DetectionPair]) -> Counter[tuple[str, Difference]]:
        """Add a compared image, and return its differences."""
        counts = count_differences(pairs)
        self.images["compared"] += 1
        self.different_images += has_differences(counts) > 0
        self.differences += counts
        for pair in pairs:
            if pair.first is not None and pair.second is not None:
                self.ious[_bin(pair.iou, IOU_RANGE)] += 1
                self.score_changes[_bin(pair.score_change, SCORE_RANGE)] += 1
        return counts


def has_differences(counts: Counter[tuple[str, Difference]]) -> int:
    """Return the number of differences of an image."""
    return sum(number for (_, difference), number in counts.items() if difference != "same")


def _bin(value: float, limits: tuple[float, float]) -> int:
    low, high = limits
    return min(BINS - 1, max(0, int((value - low) / (high - low) * BINS)))


@dataclass(frozen=True, eq=False)
class Example:
    """An image with the detections of both versions drawn."""

    number: int
    """Number of the image since the start of the server."""
    comparison: Comparison
    """Versions that differ."""
    counts: Counter[tuple[str, Difference]]
    """Differences on the image."""
    jpeg: bytes
    """Both halves, as drawn by `draw_differences`."""


class ShadowReport:
    """All comparisons, and a bounded number of examples."""

    def __init__(self, max_examples: int = 0) -> None:
        self.max_examples = max_examples
        self._comparisons: dict[tuple[Package, Package], Comparison] = {}
        self._examples: list[tuple[int, int, Example]] = []
        self._numbers = count(1)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self._comparisons.values())

    def comparison(self, primary: Package, shadow: Package) -> Comparison:
        """Return the sums of two versions. The oldest comparison beyond MAX_COMPARISONS is forgotten."""
        if (primary, shadow) not in self._comparisons:
            self._comparisons[primary, shadow] = Comparison(primary, shadow)
            if len(self._comparisons) > MAX_COMPARISONS:
                self._forget(next(iter(self._comparisons)))
        return self._comparisons[primary, shadow]

    def wants(self, counts: Counter[tuple[str, Difference]]) -> bool:
        """Return True if an image with these differences is among the examples to keep."""
        differences = has_differences(counts)
        is_full = len(self._examples) >= self.max_examples
        return differences > 0 and self.max_examples > 0 and (not is_full or differences > self._examples[0][0])

    def add_example(self, comparison: Comparison, counts: Counter[tuple[str, Difference]], jpeg: bytes) -> None:
        """Keep an example of a comparison in the report. The one with the fewest differences makes space for it."""
        if comparison not in self._comparisons.values():
            return
        number = next(self._numbers)
        heapq.heappush(self._examples, (has_differences(counts), -number, Example(number, comparison, counts, jpeg)))
        if len(self._examples) > self.max_examples:
            heapq.heappop(self._examples)

    def examples(self) -> list[Example]:
        """List the examples, those with the most differences first."""
        return [example for _, _, example in sorted(self._examples, key=lambda entry: entry[:2], reverse=True)]

    def example(self, number: int) -> Example | None:
        """Return an example by its number."""
        return next((example for _, _, example in self._examples if example.number == number), None)

    def keep(self, shadows: Container[Package]) -> None:
        """Forget everything about other shadow versions."""
        for key in [key for key in self._comparisons if key[1] not in shadows]:
            self._forget(key)

    def _forget(self, key: tuple[Package, Package]) -> None:
        forgotten = self._comparisons.pop(key)
        self._examples = [entry for entry in self._examples if entry[2].comparison is not forgotten]
        heapq.heapify(self._examples)
