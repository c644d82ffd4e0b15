"""Requests and answers of DOODS. Thresholds and confidences are per cent, edges are fractions of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, Field

from model_zoo.contract.detections import SCORE_DECIMALS
from service.api.base64_text import decode_base64
from service.inference.query import QueryOptions
from service.inference.results import ImageResult

DEFAULT: Final = "default"
ANY_LABEL: Final = "*"
_EDGE_DECIMALS: Final = 6
Percent = Annotated[float, Field(ge=0, le=100)]


class DetectRequest(BaseModel):
    """An image and the objects to report. Other members are ignored."""

    data: Annotated[str, Field(description="The image file in base64.")]
    detector_name: Annotated[str, Field(description="Name of a model.")] = DEFAULT
    detect: Annotated[
        dict[str, Percent] | None,
        Field(description="Min confidence by label, * for all others. Default: all, from the model's score."),
    ] = None
    id: Annotated[str, Field(max_length=1000, description="Returned as it is.")] | None = None

    def take_image(self) -> bytes:
        """Return the image file, and forget its text.

        Raises:
            BadRequest: the data is not base64.
        """
        text, self.data = self.data, ""
        return decode_base64(text, "data")

    def options(self) -> QueryOptions:
        """Return options that find all objects of `is_wanted`."""
        return QueryOptions(score=min(self.detect.values()) / 100, clamp=True) if self.detect else QueryOptions()

    def is_wanted(self, label: str, confidence: float) -> bool:
        """Return whether an object has enough confidence for its label."""
        if not self.detect:
            return True
        threshold = self.detect.get(label, self.detect.get(ANY_LABEL))
        return threshold is not None and confidence >= threshold


def make_detections(image: ImageResult, class_names: Sequence[str], asked: DetectRequest) -> list[dict[str, Any]]:
    """Return the wanted objects in an image, best first."""
    found, (height, width) = image.detections, image.size
    edges = np.round(found.boxes.astype(float) / (width, height, width, height), _EDGE_DECIMALS).tolist()
    confidences = (round(100 * score, SCORE_DECIMALS - 2) for score in found.scores.tolist())
    rows = zip(edges, confidences, found.class_ids, strict=True)
    return [
        {"top": top, "left": left, "bottom": bottom, "right": right, "label": label, "confidence": confidence}
        for (left, top, right, bottom), confidence, class_id in rows
        if asked.is_wanted(label := class_names[class_id], confidence)
    ]
