"""Detections of one image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import xyxy_to_xywh

BOX_DECIMALS = 3
SCORE_DECIMALS = 6


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of one image, best score first."""

    boxes: NDArray[np.float32]
    """Boxes (N, 4), xyxy in pixels of the upright image."""
    scores: NDArray[np.float32]
    """Scores (N,)."""
    class_ids: NDArray[np.int64]
    """Class indices (N,)."""

    def __len__(self) -> int:
        return len(self.scores)

    def filter_classes(self, class_ids: Collection[int]) -> Detections:
        """Return the detections of these classes."""
        kept = np.isin(self.class_ids, list(class_ids))
        return Detections(self.boxes[kept], self.scores[kept], self.class_ids[kept])

    def map_classes(self, class_ids: Mapping[int, int]) -> Detections:
        """Replace class ids by `class_ids` and drop the detections of other classes."""
        kept = self.filter_classes(class_ids)
        return Detections(kept.boxes, kept.scores, np.asarray([class_ids[int(i)] for i in kept.class_ids], np.int64))

    def to_dict(self, class_names: Sequence[str] | Mapping[int, str]) -> list[dict[str, Any]]:
        """Return the detections as JSON-ready objects: box, score, class_id, label."""
        boxes = np.round(self.boxes.astype(np.float64), BOX_DECIMALS).tolist()
        scores = np.round(self.scores.astype(np.float64), SCORE_DECIMALS).tolist()
        return [
            {"box": box, "score": score, "class_id": class_id, "label": class_names[class_id]}
            for box, score, class_id in zip(boxes, scores, self.class_ids.tolist(), strict=True)
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
            for box, score, class_id in zip(boxes, self.scores.tolist(), self.class_ids.tolist(), strict=True)
        ]
