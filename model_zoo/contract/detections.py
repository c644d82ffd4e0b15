"""The result type: what was found on one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.boxes import xyxy_to_xywh


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of one image, best score first.

    boxes (N, 4) float32 xyxy in pixels of the image as displayed; scores (N,) float32; class_ids (N,) int64.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def to_dict(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """List the detections as JSON-ready objects: box, score, class_id, label."""
        return [
            {
                "box": [round(float(v), 3) for v in box],
                "score": round(float(score), 6),
                "class_id": int(class_id),
                "label": class_names[class_id],
            }
            for box, score, class_id in zip(self.boxes, self.scores, self.class_ids, strict=True)
        ]

    def to_coco(self, image_id: int, category_ids: Mapping[int, int]) -> list[dict[str, Any]]:
        """List the detections as COCO result records; `category_ids` maps class_id to the data set's category id."""
        return [
            {
                "image_id": image_id,
                "category_id": category_ids[int(class_id)],
                "bbox": [float(v) for v in box],
                "score": float(score),
            }
            for box, score, class_id in zip(xyxy_to_xywh(self.boxes), self.scores, self.class_ids, strict=True)
        ]
