"""From uploaded files to detections: decode beside the event loop, detect in batches; a bad file harms only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import ImageLimits, decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import Prepared, Query
from service.batching import Batcher
from service.model import LoadedModel


@dataclass(frozen=True)
class Upload:
    """One file of a request; `file` is the name the client gave it."""

    file: str | None
    data: bytes


@dataclass(frozen=True, eq=False)
class Found:
    """What was found on one picture, and the seconds it took to decode, queue and infer.

    size: (height, width). picture: its pixels, where they were asked for: they are big.
    """

    size: Size
    picture: NDArray[np.uint8] | None
    detections: Detections
    decode: float
    queue: float
    infer: float


@dataclass(frozen=True)
class _Task:
    data: bytes
    model: LoadedModel
    limits: ImageLimits
    keep_picture: bool


Decoded = tuple[NDArray[np.uint8] | None, Prepared]


class Detection:
    """Decodes in a bounded pool of threads and hands over to the model's batches."""

    def __init__(self, threads: int, queue_size: int, limits: ImageLimits) -> None:
        self._decoder: Batcher[_Task, Decoded] = Batcher(_decode, workers=threads, queue_size=queue_size)
        self._limits = limits

    async def detect_all(
        self,
        model: LoadedModel,
        uploads: Sequence[Upload],
        query: Query,
        *,
        deadline: float,
        keep_pictures: bool = False,
    ) -> list[Found | ImageError]:
        """Return for every upload what was found or why the file cannot be used.

        Raises what concerns the whole request: QueueFull, DeadlineExceeded, Closed.
        """
        jobs = [_Task(upload.data, model, self._limits, keep_pictures) for upload in uploads]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._detect(job, query, deadline)) for job in jobs]
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """Finish what was accepted and end the threads."""
        await self._decoder.close()

    async def _detect(self, task: _Task, query: Query, deadline: float) -> Found | ImageError:
        began = asyncio.get_running_loop().time()
        try:
            decoded = await self._decoder.submit(task, deadline=deadline)
        except ImageError as error:
            return error
        picture, prepared = decoded.value
        took = asyncio.get_running_loop().time() - began
        found = await task.model.detect(prepared, query, deadline)
        return Found(prepared.geometry.image, picture, found.value, took, found.waited, found.ran)


def _decode(tasks: Sequence[_Task]) -> list[Decoded]:
    (task,) = tasks
    image = decode_image(task.data, task.limits)
    return [(image if task.keep_picture else None, task.model.prepare(image))]
