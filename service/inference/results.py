"""Results of a detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from service.telemetry.statistics import Times


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Detections on one image, with timing."""

    size: Size
    """(height, width) of the image as displayed."""
    detections: Detections
    """Detections in image pixels."""
    decode_seconds: float
    """Seconds from arrival until the image was decoded and letterboxed."""
    queue_seconds: float
    """Seconds the image waited for inference."""
    infer_seconds: float
    """Seconds of its inference batch."""
    postprocess_seconds: float
    """Seconds of these from the output of the engine to boxes."""

    def times(self) -> Times:
        """Return the times of the stages for statistics."""
        infer = self.infer_seconds - self.postprocess_seconds
        return Times(self.queue_seconds, self.decode_seconds, infer, self.postprocess_seconds)


@dataclass(frozen=True, eq=False)
class DetectResult:
    """The answer to one request."""

    package: Package
    """The model that answered."""
    images: Sequence[ImageResult | ImageError]
    """For each image in order, its result or why it cannot be used."""
