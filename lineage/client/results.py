"""Results of the client, and their forms for other libraries."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from model_zoo.contract.detections import Detections

if TYPE_CHECKING:
    import pandas
    import supervision


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Detections on one image, best score first. Boxes are xyxy in pixels of the image as displayed."""

    size: tuple[int, int]
    """(height, width) of the image as displayed, after EXIF rotation."""
    detections: Detections
    """Boxes, scores and class ids."""
    labels: Sequence[str]
    """Label of each detection."""
    model: str
    """The model that answered, as name@version."""
    file: str | None = None
    """Name of the image file, if there is one."""
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of the stages of the request. Empty over the Open Inference Protocol."""

    def __len__(self) -> int:
        return len(self.detections)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready objects, in the form of `POST /detect`."""
        height, width = self.size
        return {
            "model": self.model,
            "file": self.file,
            "image": {"width": width, "height": height},
            "detections": self.detections.to_dict(self._names()),
        }

    def to_coco(self, image_id: int, category_ids: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
        """Return COCO result entries. `category_ids` has the category of each class id, by default the same number."""
        ids = {int(class_id): int(class_id) for class_id in self.detections.class_ids}
        return self.detections.to_coco(image_id, ids if category_ids is None else category_ids)

    def to_supervision(self) -> supervision.Detections:
        """Return `supervision.Detections` with the labels as `class_name`."""
        converted: supervision.Detections = _require("supervision").Detections(
            xyxy=self.detections.boxes,
            confidence=self.detections.scores,
            class_id=self.detections.class_ids,
            data={"class_name": np.asarray(self.labels, dtype=np.str_)},
        )
        return converted

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with the columns file, x1, y1, x2, y2, score, class_id and label."""
        found = self.detections
        x1, y1, x2, y2 = found.boxes.T
        columns = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": found.scores, "class_id": found.class_ids}
        columns = {"file": [self.file] * len(self), **columns, "label": list(self.labels)}
        return _require("pandas").DataFrame(columns)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_dict()["detections"])

    def _names(self) -> dict[int, str]:
        return dict(zip(self.detections.class_ids.tolist(), self.labels, strict=True))


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"to_{package} needs {package}; run: pip install {package}", name=package) from error
