"""Image decoding and drawing in a bounded pool of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import draw
from model_zoo.contract.errors import ImageTooLarge
from model_zoo.contract.images import DEFAULT_LIMITS, ImageLimits, decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import ModelInput, read_input
from service.inference.batcher import Batcher, BatchResult
from service.inference.errors import DecodeQueueFull
from service.inference.request import RequestContext

MAX_PREVIEW_SIDE: Final = 2048
MAX_JPEG_SIDE: Final = 65_500  # libjpeg's limit; the format's own is 65,535
T = TypeVar("T")
Job = Callable[[], Any]
ReadPixels = Callable[[], NDArray[np.uint8]]


class ImagePool:
    """Decodes and draws images off the event loop.

    All methods raise DecodeQueueFull, DeadlineExceeded or ShuttingDown, and ImageError for a bad file.
    """

    def __init__(
        self, threads: int, queue_size: int, limits: ImageLimits = DEFAULT_LIMITS, *, exact: bool = False
    ) -> None:
        """Decode JPEGs at full size if `exact`, otherwise large ones at the size that the model needs."""
        self.threads, self._limits, self._exact = threads, limits, exact
        self._jobs: Batcher[Job, Any] = Batcher(
            _run, workers=threads, queue_size=queue_size, stage="decoding", queue_full=DecodeQueueFull
        )

    @property
    def waiting(self) -> int:
        """Number of images that wait to be decoded or drawn."""
        return self._jobs.waiting

    async def decode(
        self, data: bytes, card: ModelCard, canvases: Sequence[Size], context: RequestContext, model: str = ""
    ) -> BatchResult[ModelInput]:
        """Decode an image file onto the canvas that it needs.

        The images of a client for one `model` take turns with all others.
        """
        job = partial(read_input, card, data, canvases, exact=self._exact, limits=self._limits)
        return await self._jobs.submit(job, context, share=model)

    async def prepare(
        self, read: ReadPixels, transform: Callable[[NDArray[np.uint8]], T], context: RequestContext, model: str = ""
    ) -> BatchResult[T]:
        """Return `transform(read())`, computed in a thread, in turn as `decode`."""
        return await self._jobs.submit(partial(_prepare, read, transform), context, share=model)

    async def draw(
        self, data: bytes, detections: Detections, class_names: Sequence[str], context: RequestContext
    ) -> bytes:
        """Return the image with its detections drawn, as JPEG.

        The file is decoded again: keeping the pixels of all waiting images would need too much memory.
        """
        job = partial(_draw, data, self._limits, detections, class_names)
        return bytes((await self._jobs.submit(job, context)).value)

    async def preview(self, data: bytes, context: RequestContext) -> bytes:
        """Return the image as JPEG, of at most `MAX_PREVIEW_SIDE` pixels a side."""
        return bytes((await self._jobs.submit(partial(_preview, data, self._limits), context)).value)

    async def close(self) -> None:
        """Finish the accepted images and end the threads."""
        await self._jobs.close()


def _run(jobs: Sequence[Job]) -> list[Any]:
    return [job() for job in jobs]


def _prepare(read: ReadPixels, transform: Callable[[NDArray[np.uint8]], T]) -> T:
    return transform(read())


def _draw(data: bytes, limits: ImageLimits, detections: Detections, class_names: Sequence[str]) -> bytes:
    image = decode_image(data, limits)
    height, width = image.shape[:2]
    if max(height, width) > MAX_JPEG_SIDE:
        limit = f"a drawn JPEG: expected an image of at most {MAX_JPEG_SIDE:,} pixels a side"
        raise ImageTooLarge(f"{limit}; got {width:,} x {height:,}; request JSON instead")
    return _to_jpeg(draw(image, detections, class_names))


def _preview(data: bytes, limits: ImageLimits) -> bytes:
    image = decode_image(data, limits)
    height, width = image.shape[:2]
    if (scale := MAX_PREVIEW_SIDE / max(height, width)) < 1:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return _to_jpeg(image)


def _to_jpeg(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
