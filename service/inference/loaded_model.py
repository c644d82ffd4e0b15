"""A loaded model: engine and batcher of one package version, from picture to detections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import ModelInput, Query, choose_canvas, collate, postprocess, preprocess
from model_zoo.runtime.base import Engine
from service.inference.batcher import Answer, Batcher

Job = tuple[ModelInput, Query]


@dataclass(frozen=True)
class BatchingOptions:
    """How images wait: see `Batcher`."""

    max_delay: float = 0.002
    queue_size: int = 64


class LoadedModel:
    """Takes pictures on their canvases and answers detections; unloads when its last user has left."""

    def __init__(self, package: Package, engine: Engine, queueing: BatchingOptions) -> None:
        self.package, self.engine = package, engine
        self.card = package.card
        self._batcher: Batcher[Job, Detections] = Batcher(
            self._run,
            workers=engine.workers,
            max_batch=engine.max_batch,
            max_delay=queueing.max_delay,
            queue_size=queueing.queue_size,
        )
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def prepare(self, image: NDArray[np.uint8]) -> ModelInput:
        """Lay an RGB image (H, W, 3) on the smallest canvas that the engine keeps ready for it."""
        height, width = image.shape[:2]
        return preprocess(self.card, image, choose_canvas(self.card, (height, width), self.engine.canvases))

    async def detect(self, prepared: ModelInput, query: Query, deadline: float) -> Answer[Detections]:
        """Return the detections in pixels of the image; raises what `Batcher.submit` raises."""
        return await self._batcher.submit((prepared, query), deadline=deadline, group=prepared.geometry.canvas)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the model loaded for the time of a request."""
        self._users += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    async def unload(self) -> None:
        """Wait for the users, answer what was accepted, give memory back."""
        await self._idle.wait()
        await self._batcher.close()
        await asyncio.to_thread(self.engine.close)

    def _run(self, jobs: Sequence[Job]) -> list[Detections]:
        rows, counts = self.engine.run(collate([item for item, _ in jobs], [query for _, query in jobs]))
        return [
            postprocess(found, int(count), item.geometry, query)
            for found, count, (item, query) in zip(rows, counts, jobs, strict=True)
        ]
