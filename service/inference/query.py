"""Options of a detection, before a model is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard


@dataclass(frozen=True)
class QueryOptions:
    """Detection options of a request. None means the default of the model's card."""

    score: float | None = None
    """Min score of a detection."""
    iou: float | None = None
    """Suppression threshold."""
    distance_weight: float | None = None
    """Weight of the center distance in the suppression: 1 is DIoU-NMS, 0 is IoU-NMS."""
    classes: Sequence[str | int] | None = None
    """Names or indices of the classes to report."""
    max_detections: int | None = None
    """Max number of detections per image."""
    clamp: bool = False
    """Whether a score below the floor of the model, and a number above its limit, are replaced by these."""

    def resolve(self, card: ModelCard) -> pipeline.Query:
        """Fill in the card's defaults.

        Raises:
            QueryError: an option is outside what the model allows.
        """
        score, max_detections = self.score, self.max_detections
        if self.clamp:
            score = None if score is None else max(score, card.thresholds.score_floor)
            max_detections = None if max_detections is None else min(max_detections, card.candidates)
        return pipeline.make_query(
            card,
            score=score,
            iou=self.iou,
            distance_weight=self.distance_weight,
            classes=self.classes,
            max_detections=max_detections,
        )


# All rows of the graph: the lowest score, and no suppression.
CANDIDATES: Final = QueryOptions(score=0.0, iou=1.0, distance_weight=0.0, max_detections=2**31, clamp=True)
