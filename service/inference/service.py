"""DetectionService: the single entry point for detection, whatever the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from service.inference.image_pool import ImagePool
from service.inference.loaded_model import LoadedModel
from service.inference.model_store import ModelStore
from service.inference.request import RequestContext
from service.telemetry.metrics import Metrics


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

    def resolve(self, card: ModelCard) -> pipeline.Query:
        """Fill in the card's defaults.

        Raises:
            QueryError: an option is outside what the model allows.
        """
        return pipeline.make_query(
            card,
            score=self.score,
            iou=self.iou,
            distance_weight=self.distance_weight,
            classes=self.classes,
            max_detections=self.max_detections,
        )


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


@dataclass(frozen=True, eq=False)
class DetectResult:
    """The answer to one request."""

    package: Package
    """The model that answered."""
    images: Sequence[ImageResult | ImageError]
    """For each image in order, its result or why it cannot be used."""


class DetectionService:
    """Detects objects with the models of a store. Usable from one event loop."""

    def __init__(self, store: ModelStore, images: ImagePool, metrics: Metrics | None = None) -> None:
        self._store, self._images, self._metrics = store, images, metrics or Metrics()

    async def check(self, reference: str | None, query: QueryOptions, context: RequestContext) -> None:
        """Load the model and check the query against its card, before the images are received.

        Raises:
            LineageError: the model is unknown or unusable, or the query is out of range.
            NotReady: the model is still loading.
        """
        async with self._store.lease(reference, context) as model:
            query.resolve(model.card)

    async def detect(
        self, images: Sequence[bytes], reference: str | None, query: QueryOptions, context: RequestContext
    ) -> DetectResult:
        """Detect objects in image files. One bad file does not affect the others.

        `reference` is `name[@version|@alias]`; None means the default model.

        Raises:
            LineageError: the model is unknown or unusable, or the query is out of range.
            NotReady: the model is still loading.
            QueueFull: too many images wait to be decoded or for the model.
            DeadlineExceeded: the deadline passed.
            ShuttingDown: the server is stopping.
        """
        async with self._store.lease(reference, context) as model:
            resolved = query.resolve(model.card)
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._detect_one(model, data, resolved, context)) for data in images]
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
            return DetectResult(model.package, [task.result() for task in tasks])

    async def draw(
        self, image: bytes, detections: Detections, class_names: Sequence[str], context: RequestContext
    ) -> bytes:
        """Return an image file with its detections drawn, as JPEG.

        Raises:
            DecodeQueueFull: too many images wait to be decoded or drawn.
            DeadlineExceeded: the deadline passed.
            ShuttingDown: the server is stopping.
        """
        return await self._images.draw(image, detections, class_names, context)

    async def close(self) -> None:
        """Finish the accepted images and unload all models."""
        await self._images.close()
        await self._store.close()

    async def _detect_one(
        self, model: LoadedModel, data: bytes, query: pipeline.Query, context: RequestContext
    ) -> ImageResult | ImageError:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            model_input = await self._images.decode(data, model.preprocess, context)
        except ImageError as error:
            return error
        decoded = loop.time() - started
        result = await model.detect(model_input, query, context)
        return ImageResult(model_input.geometry.image, result.value, decoded, result.queue_seconds, result.run_seconds)
