"""From uploaded files to detections: decode beside the event loop, detect in batches; a bad file harms only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import cv2

from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import draw
from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import ImageLimits, decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import ModelInput, Query
from service.inference.batcher import Batcher
from service.inference.loaded_model import LoadedModel

T = TypeVar("T")
Work = Callable[[], Any]


@dataclass(frozen=True)
class Upload:
    """One file of a request; `file` is the name the client gave it."""

    file: str | None
    data: bytes


@dataclass(frozen=True, eq=False)
class Found:
    """What was found on a picture of `size` (height, width), and the seconds it took to decode, queue and infer."""

    size: Size
    detections: Detections
    decode: float
    queue: float
    infer: float


class Detection:
    """Decodes and draws in a bounded pool of threads; what runs on the model is the model's to batch."""

    def __init__(self, threads: int, queue_size: int, limits: ImageLimits) -> None:
        self._pool: Batcher[Work, Any] = Batcher(_work, workers=threads, queue_size=queue_size)
        self._limits = limits

    async def detect_all(
        self, model: LoadedModel, uploads: Sequence[Upload], query: Query, deadline: float
    ) -> list[Found | ImageError]:
        """Return for every upload what was found or why the file cannot be used.

        Raises what concerns the whole request: QueueFull, DeadlineExceeded, Closed.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._detect(model, upload, query, deadline)) for upload in uploads]
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    async def draw(self, upload: Upload, found: Found, class_names: Sequence[str], deadline: float) -> bytes:
        """Return the picture with what was found on it, as JPEG.

        The picture is decoded anew: keeping the pixels of all that wait would cost more memory than there is.
        """
        return await self._aside(partial(_draw, upload.data, self._limits, found.detections, class_names), deadline)

    async def close(self) -> None:
        """Finish what was accepted and end the threads."""
        await self._pool.close()

    async def _detect(self, model: LoadedModel, upload: Upload, query: Query, deadline: float) -> Found | ImageError:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            prepared = await self._aside(partial(_prepare, model, upload.data, self._limits), deadline)
        except ImageError as error:
            return error
        took = loop.time() - began
        found = await model.detect(prepared, query, deadline)
        return Found(prepared.geometry.image, found.value, took, found.waited, found.ran)

    async def _aside(self, work: Callable[[], T], deadline: float) -> T:
        """Do the work in the pool."""
        return cast(T, (await self._pool.submit(work, deadline=deadline)).value)


def _work(batch: Sequence[Work]) -> list[Any]:
    return [work() for work in batch]


def _prepare(model: LoadedModel, data: bytes, limits: ImageLimits) -> ModelInput:
    return model.prepare(decode_image(data, limits))


def _draw(data: bytes, limits: ImageLimits, detections: Detections, class_names: Sequence[str]) -> bytes:
    drawn = draw(decode_image(data, limits), detections, class_names)
    return cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()
