"""Differences between the detections of two models on one image.

Detections of one label are paired, those of the first model in the order of their scores. The partner is the free
detection of the second model that overlaps most, with an IoU of at least `match_iou`. A pair is `moved` if its IoU is
below `same_iou`, `rescored` if its scores differ by more than `same_score`, or both, or neither (`same`). Detections
without a partner are `lost` if the first model has them, and `found` if the second has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from model_zoo.contract.boxes import pairwise_iou
from model_zoo.contract.detections import Detections

Difference = Literal["same", "moved", "rescored", "lost", "found"]


@dataclass(frozen=True)
class DiffLimits:
    """Limits of a difference."""

    match_iou: float = 0.5
    """Min IoU of a pair."""
    same_iou: float = 0.95
    """IoU below which a pair is moved."""
    same_score: float = 0.05
    """Difference of the scores above which a pair is rescored."""


DEFAULT_LIMITS: Final = DiffLimits()


@dataclass(frozen=True)
class DetectionPair:
    """A detection of the first model and its partner of the second one. One of them may be missing."""

    label: str
    """Name of the class."""
    first: int | None
    """Index among the detections of the first model."""
    second: int | None
    """Index among the detections of the second model."""
    iou: float = 0.0
    """IoU of the two boxes."""
    score_change: float = 0.0
    """Score of the second model minus score of the first one."""

    def differences(self, limits: DiffLimits = DEFAULT_LIMITS) -> tuple[Difference, ...]:
        """Return the kinds of difference of the pair."""
        if self.second is None:
            return ("lost",)
        if self.first is None:
            return ("found",)
        moved: tuple[Difference, ...] = ("moved",) if self.iou < limits.same_iou else ()
        rescored: tuple[Difference, ...] = ("rescored",) if abs(self.score_change) > limits.same_score else ()
        return (*moved, *rescored) or ("same",)


def pair_detections(
    first: Detections,
    second: Detections,
    first_names: Sequence[str],
    second_names: Sequence[str],
    limits: DiffLimits = DEFAULT_LIMITS,
) -> list[DetectionPair]:
    """Pair the detections of two models on one image. Classes are compared by name."""
    labels, others = _labels(first, first_names), _labels(second, second_names)
    ious = pairwise_iou(first.boxes, second.boxes)
    ious[labels[:, None] != others[None]] = -1.0
    pairs: list[DetectionPair] = []
    free = np.ones(len(second), dtype=bool)
    for i, label in enumerate(labels.tolist()):
        overlaps = np.where(free, ious[i], -1.0)
        j = int(overlaps.argmax()) if len(second) else 0
        if len(second) and overlaps[j] >= limits.match_iou:
            free[j] = False
            change = float(second.scores[j]) - float(first.scores[i])
            pairs.append(DetectionPair(label, i, j, float(overlaps[j]), change))
        else:
            pairs.append(DetectionPair(label, i, None))
    return pairs + [DetectionPair(others[j], None, int(j)) for j in np.flatnonzero(free)]


def count_differences(
    pairs: Iterable[DetectionPair], limits: DiffLimits = DEFAULT_LIMITS
) -> Counter[tuple[str, Difference]]:
    """Count the pairs by label and difference. A pair that is moved and rescored counts twice."""
    return Counter((pair.label, difference) for pair in pairs for difference in pair.differences(limits))


def _labels(detections: Detections, names: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array([names[i] for i in detections.class_ids.tolist()], dtype=object)
