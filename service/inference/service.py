"""DetectionService: the single entry point for detection, whatever the protocol."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract import pipeline
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from service.inference.admission import Slots
from service.inference.batcher import BatchResult
from service.inference.image_pool import ImagePool, ReadPixels
from service.inference.loaded_model import Inference, LoadedModel
from service.inference.model_store import ModelStore
from service.inference.query import CANDIDATES, QueryOptions
from service.inference.request import RequestContext
from service.inference.results import DetectResult, ImageResult
from service.inference.shadow import Shadow
from service.telemetry.metrics import Metrics
from service.telemetry.request import Batch, current_request

T = TypeVar("T")


_DetectOne = Callable[[LoadedModel, T, pipeline.Query, RequestContext], Awaitable[ImageResult]]


class DetectionService:
    """Detects objects with the models of a store. Usable from one event loop."""

    def __init__(
        self, store: ModelStore, images: ImagePool, metrics: Metrics | None = None, shadow: Shadow | None = None
    ) -> None:
        self._store, self._images, self._metrics = store, images, metrics or Metrics()
        self.shadow = shadow

    @property
    def decode_waiting(self) -> int:
        """Number of images that wait to be decoded or drawn."""
        return self._images.waiting

    async def check(self, reference: str | None, query: QueryOptions, context: RequestContext) -> Package:
        """Load the model and return it. Check the query, the queue and the wait, before the images are received.

        Raises:
            LineageError: the model is unknown or unusable, or the query is out of range.
            NotReady: the model is still loading.
            WaitTooLong: an image is not expected to be answered in time.
            InferenceQueueFull: too many images wait for the model.
        """
        async with self._store.lease(reference, context) as model:
            query.resolve(model.card)
            _name_model(model.package)
            model.check(context)
            return model.package

    async def detect(
        self,
        images: Sequence[bytes],
        reference: str | None,
        query: QueryOptions | Sequence[QueryOptions],
        context: RequestContext,
    ) -> DetectResult:
        """Detect objects in image files. One bad file does not affect the others.

        `reference` is `name[@version|@alias]`; None means the default model. `query` is that of all images, or of each.

        Raises:
            LineageError: the model is unknown or unusable, or a query is out of range.
            NotReady: the model is still loading.
            WaitTooLong: the request is not expected to be answered in time.
            QueueFull: too many images wait to be decoded or for the model.
            DeadlineExceeded: the deadline passed.
            ShuttingDown: the server is stopping.
        """
        queries = [query] * len(images) if isinstance(query, QueryOptions) else query
        result = await self._detect(self._detect_file, images, reference, queries, context)
        self._offer_shadow(images, reference, queries, context, result)
        return result

    async def detect_canvases(
        self,
        canvases: Sequence[NDArray[np.uint8]],
        reference: str | None,
        queries: Sequence[QueryOptions],
        context: RequestContext,
    ) -> DetectResult:
        """Detect objects on canvases (H, W, 3) that the client has letterboxed. Boxes are in canvas pixels.

        Raises:
            LineageError, ServiceError: as `detect`.
        """
        return await self._detect(self._detect_canvas, canvases, reference, queries, context)

    async def detect_arrays(
        self,
        images: Sequence[ReadPixels],
        reference: str | None,
        queries: Sequence[QueryOptions],
        context: RequestContext,
    ) -> DetectResult:
        """Detect objects on images that the client has decoded. Boxes are in pixels of these images.

        Each of `images` returns RGB pixels (H, W, 3), and is called in a thread.

        Raises:
            LineageError, ServiceError: as `detect`.
        """
        return await self._detect(self._detect_array, images, reference, queries, context)

    async def list_candidates(
        self, canvases: Sequence[ReadPixels], reference: str | None, context: RequestContext
    ) -> DetectResult:
        """List all rows of the graph above its lowest score, without suppression, for clients that choose among them.

        Each of `canvases` returns a canvas as in `detect_canvases`, and is called in a thread. Candidates do not count
        as detections in metrics.

        Raises:
            LineageError, ServiceError: as `detect`.
        """
        queries = [CANDIDATES] * len(canvases)
        return await self._detect(self._list_candidates, canvases, reference, queries, context, counted=False)

    async def _detect(
        self,
        detect_one: _DetectOne[T],
        images: Sequence[T],
        reference: str | None,
        queries: Sequence[QueryOptions],
        context: RequestContext,
        *,
        counted: bool = True,
    ) -> DetectResult:
        async with self._store.lease(reference, context) as model:
            resolved = [query.resolve(model.card) for query in queries]
            _name_model(model.package)
            with self._metrics.statistics.of(model.package.name, model.package.version).request() as times:
                pairs = zip(images, resolved, strict=True)
                work = [partial(detect_one, model, image, query, context) for image, query in pairs]
                result = DetectResult(model.package, await self._gather(model, work, context))
                times += [image.times() if isinstance(image, ImageResult) else None for image in result.images]
        self._count(result, counted=counted)
        return result

    async def _gather(
        self, model: LoadedModel, work: Sequence[Callable[[], Awaitable[ImageResult]]], context: RequestContext
    ) -> list[ImageResult | ImageError]:
        """Run the work of all images of a request at the same time."""
        try:
            observed = self.shadow.primary() if self.shadow else nullcontext()
            with model.admission.admit(len(work), context) as slots, observed:
                if len(work) == 1:
                    return [await _release(slots, work[0]())]
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(_release(slots, detect_one())) for detect_one in work]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

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

    async def preview(self, image: bytes, context: RequestContext) -> bytes:
        """Return an image file as a JPEG of limited size.

        Raises:
            ImageError: the image cannot be used.
            ServiceError: as `draw`.
        """
        return await self._images.preview(image, context)

    async def close(self) -> None:
        """Finish the accepted images and unload all models."""
        await self._images.close()
        if self.shadow:
            await self.shadow.close()
        await self._store.close()

    def _offer_shadow(
        self,
        images: Sequence[bytes],
        reference: str | None,
        queries: Sequence[QueryOptions],
        context: RequestContext,
        result: DetectResult,
    ) -> None:
        if self.shadow:
            reference = reference or self._store.default.name or ""
            for data, image, query in zip(images, result.images, queries, strict=True):
                if isinstance(image, ImageResult):
                    answer = (data, image.detections)
                    self.shadow.offer(reference, [answer], result.package, query.resolve, context)

    async def _detect_file(
        self, model: LoadedModel, data: bytes, query: pipeline.Query, context: RequestContext
    ) -> ImageResult:
        decoding = self._images.decode(data, model.card, model.engine.canvases, context, model.package.name)
        return await self._detect_decoded(model, decoding, query, context)

    async def _detect_array(
        self, model: LoadedModel, read: ReadPixels, query: pipeline.Query, context: RequestContext
    ) -> ImageResult:
        decoding = self._images.prepare(read, model.preprocess, context, model.package.name)
        return await self._detect_decoded(model, decoding, query, context)

    async def _detect_decoded(
        self,
        model: LoadedModel,
        decoding: Awaitable[BatchResult[pipeline.ModelInput]],
        query: pipeline.Query,
        context: RequestContext,
    ) -> ImageResult:
        decoded = await decoding
        result = await model.detect(decoded.value, query, context)
        self._record(model, decoded, result)
        return _image_result(decoded.value.geometry.image, result, decoded.queue_seconds + decoded.run_seconds)

    async def _detect_canvas(
        self, model: LoadedModel, canvas: NDArray[np.uint8], query: pipeline.Query, context: RequestContext
    ) -> ImageResult:
        result = await model.detect_canvas(canvas, query, context)
        self._record(model, None, result)
        return _image_result((canvas.shape[0], canvas.shape[1]), result, 0.0)

    async def _list_candidates(
        self, model: LoadedModel, read: ReadPixels, query: pipeline.Query, context: RequestContext
    ) -> ImageResult:
        decoded = await self._images.prepare(read, np.asarray, context, model.package.name)
        result = await model.detect_canvas(decoded.value, query, context)
        self._record(model, decoded, result)
        size = decoded.value.shape[:2]
        return _image_result(size, result, decoded.queue_seconds + decoded.run_seconds)

    def _count(self, result: DetectResult, *, counted: bool) -> None:
        """Count the images of an answer, and their detections by class if these are `counted`."""
        package, found = result.package, [image.detections for image in result.images if isinstance(image, ImageResult)]
        counts = Counter(int(class_id) for detections in found if counted for class_id in detections.class_ids)
        for class_id, count in counts.items():
            label = package.card.class_names[class_id]
            self._metrics.detections.labels(package.name, package.version, label).inc(count)
        record = current_request()
        record.images, record.detections = record.images + len(found), record.detections + counts.total()

    def _record(self, model: LoadedModel, decoded: BatchResult[Any] | None, result: BatchResult[Inference]) -> None:
        """Record the stages of an image in the metrics, and its work for the admission of others."""
        decode_share = decoded.run_seconds / self._images.threads if decoded else 0.0
        infer_share = result.run_seconds / (result.batch_size * model.engine.workers)
        model.admission.record(max(decode_share, infer_share))
        name = model.package.name
        stages = {"decode": decoded.queue_seconds + decoded.run_seconds} if decoded else {}
        stages |= {"queue": result.queue_seconds, "infer": result.run_seconds}
        current_request().add(stages, Batch(result.batch, result.batch_size))
        for stage, seconds in stages.items():
            self._metrics.stage_seconds.labels(name, stage).observe(seconds)
        if not result.position:
            self._metrics.batch_images.labels(name).observe(result.batch_size)


def _image_result(size: Size, result: BatchResult[Inference], decode_seconds: float) -> ImageResult:
    found = result.value
    times = (decode_seconds, result.queue_seconds, result.run_seconds, found.postprocess_seconds)
    return ImageResult(size, found.detections, *times)


async def _release(slots: Slots, work: Awaitable[ImageResult]) -> ImageResult | ImageError:
    """Await the result of one image. An unusable image is a result, too."""
    try:
        return await work
    except ImageError as error:
        return error
    finally:
        slots.release()


def _name_model(package: Package) -> None:
    """Record the model of the current request for its metrics, log line and trace."""
    record = current_request()
    record.model, record.version = package.name, str(package.version)
