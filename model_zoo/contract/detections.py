"""Detections of one image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import xyxy_to_xywh

BOX_DECIMALS = 3
SCORE_DECIMALS = 6
UNTRACKED = -1  # track id of a detection that belongs to no track


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of one image, best score first."""

    boxes: NDArray[np.float32]
    """Boxes (N, 4), xyxy in pixels of the upright image."""
    scores: NDArray[np.float32]
    """Scores (N,)."""
    class_ids: NDArray[np.int64]
    """Class indices (N,)."""
    track_ids: NDArray[np.int64] | None = None
    """Numbers (N,) of the tracked objects, UNTRACKED for an object without a number. None if nothing was tracked."""

    @classmethod
    def from_dict(cls, entries: Sequence[Mapping[str, Any]]) -> Self:
        """Return the detections of `to_dict`, or of an answer of a server. Numbers of tracked objects are left out."""
        return cls(
            np.array([entry["box"] for entry in entries], np.float32).reshape(-1, 4),
            np.array([entry["score"] for entry in entries], np.float32),
            np.array([entry["class_id"] for entry in entries], np.int64),
        )

    def __len__(self) -> int:
        return len(self.scores)

    def filter_classes(self, class_ids: Collection[int]) -> Detections:
        """Return the detections of these classes."""
        kept = np.isin(self.class_ids, list(class_ids))
        track_ids = None if self.track_ids is None else self.track_ids[kept]
        return Detections(self.boxes[kept], self.scores[kept], self.class_ids[kept], track_ids)

    def map_classes(self, class_ids: Mapping[int, int]) -> Detections:
        """Replace class ids by `class_ids` and drop the detections of other classes."""
        kept = self.filter_classes(class_ids)
        return replace(kept, class_ids=np.asarray([class_ids[int(i)] for i in kept.class_ids], np.int64))

    def tracks(self) -> list[int | None]:
        """Return the number of the tracked object of each detection, None for those without."""
        if self.track_ids is None:
            return [None] * len(self)
        return [None if track_id == UNTRACKED else track_id for track_id in self.track_ids.tolist()]

    def to_dict(self, class_names: Sequence[str] | Mapping[int, str]) -> list[dict[str, Any]]:
        """Return the detections as JSON-ready objects: box, score, class_id, label, and track_id if it has one."""
        boxes = np.round(self.boxes.astype(np.float64), BOX_DECIMALS).tolist()
        scores = np.round(self.scores.astype(np.float64), SCORE_DECIMALS).tolist()
        return [
            {"box": box, "score": score, "class_id": class_id, "label": class_names[class_id]} | _track_entry(track)
            for box, score, class_id, track in zip(boxes, scores, self.class_ids.tolist(), self.tracks(), strict=True)
        ]

    def to_coco(self, image_id: int, category_ids: Mapping[int, int]) -> list[dict[str, Any]]:
        """Return the detections as COCO result entries with the categories of `category_ids` by class id.

        Numbers are rounded as in `to_dict`, so that a client of the service gets the same metrics as an evaluation.
        """
        boxes = xyxy_to_xywh(np.round(self.boxes.astype(np.float64), BOX_DECIMALS)).tolist()
        return [
            {
                "image_id": image_id,
                "category_id": category_ids[class_id],
                "bbox": box,
                "score": round(score, SCORE_DECIMALS),
            }
            | _track_entry(track)
            for box, score, class_id, track in zip(
                boxes, self.scores.tolist(), self.class_ids.tolist(), self.tracks(), strict=True
            )
        ]


def _track_entry(track_id: int | None) -> dict[str, int]:
    return {} if track_id is None else {"track_id": track_id}
