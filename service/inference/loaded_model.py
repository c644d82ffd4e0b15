"""A loaded model: the engine and the batcher of one package version."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Geometry
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import ModelInput, Query, choose_canvas, make_feeds, postprocess, preprocess
from model_zoo.runtime.base import Engine, EngineOptions, OpenEngine
from model_zoo.runtime.golden import check_golden
from service.inference.admission import Admission
from service.inference.batcher import Batcher, BatchingOptions, BatchResult
from service.inference.engine_guard import EngineGuard, EngineState
from service.inference.errors import InferenceQueueFull
from service.inference.request import RequestContext
from service.telemetry.metrics import Metrics

MAX_LISTED: Final = 5  # canvases in an error
# Canvas (H, W, 3), placement of the image on it or None, and query.
Job = tuple[NDArray[np.uint8], Geometry | None, Query]


@dataclass(frozen=True, eq=False)
class Inference:
    """Result of one image."""

    detections: Detections
    """Detections."""
    postprocess_seconds: float
    """Seconds from the output of the engine to the boxes of its batch."""


class LoadedModel:
    """Runs preprocessed images in batches. `unload` waits until no request uses the model."""

    def __init__(
        self, package: Package, engine: Engine, batching: BatchingOptions, metrics: Metrics | None = None
    ) -> None:
        self.package, self.engine, self._metrics = package, engine, metrics or Metrics()
        self._statistics = self._metrics.statistics.of(package.name, package.version)
        self.card = package.card
        self.admission = Admission(engine.workers)
        self._batcher: Batcher[Job, Inference] = Batcher(
            self._run,
            workers=engine.workers,
            max_batch=engine.max_batch,
            max_delay=batching.max_delay,
            queue_size=batching.queue_size,
            stage="inference",
            queue_full=InferenceQueueFull,
        )
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """Number of images that wait for the engine."""
        return self._batcher.waiting

    @property
    def engine_state(self) -> EngineState:
        """Return whether the engine works, was replaced, or has failed."""
        return self.engine.state if isinstance(self.engine, EngineGuard) else "ok"

    @property
    def problem(self) -> str | None:
        """Return why the engine cannot run, or None if it can or is being replaced for the first time."""
        return self.engine.problem if isinstance(self.engine, EngineGuard) else None

    @property
    def is_idle(self) -> bool:
        """Return True if no request uses the model."""
        return self._idle.is_set()

    def check(self, context: RequestContext) -> None:
        """Check that the model would accept an image now.

        Raises:
            WaitTooLong: it is not expected to be answered in time.
            InferenceQueueFull: too many images wait for this model.
        """
        self.admission.check(1, context)
        self._batcher.check(context)

    def preprocess(self, image: NDArray[np.uint8]) -> ModelInput:
        """Letterbox an RGB image (H, W, 3) onto the smallest canvas that the engine keeps ready for it."""
        height, width = image.shape[:2]
        return preprocess(self.card, image, choose_canvas(self.card, (height, width), self.engine.canvases))

    async def detect(self, model_input: ModelInput, query: Query, context: RequestContext) -> BatchResult[Inference]:
        """Return the detections in image pixels.

        Raises:
            InferenceQueueFull: too many images wait for this model.
            DeadlineExceeded: there was no result in time.
            EngineFailed: the engine hung or died twice on the image, or is being replaced.
            ShuttingDown: the model is being unloaded at shutdown.
        """
        return await self._submit((model_input.pixels, model_input.geometry, query), context)

    async def detect_canvas(
        self, canvas: NDArray[np.uint8], query: Query, context: RequestContext
    ) -> BatchResult[Inference]:
        """Return the detections in canvas pixels of an RGB canvas (H, W, 3), not clipped.

        Raises:
            ImageError: the engine keeps no canvas of this size ready.
            ServiceError: as `detect`.
        """
        if canvas.shape[:2] not in self.engine.canvases:
            sizes = [format_size(size) for size in self.engine.canvases]
            shorter = [sizes[0], f"one side shorter in steps of {self.card.stride}"]
            known = " or ".join(sizes if len(sizes) <= MAX_LISTED else shorter)
            raise ImageError(f"images: expected {known} pixels (width x height); got {format_size(canvas.shape)}")
        return await self._submit((canvas, None, query), context)

    async def _submit(self, job: Job, context: RequestContext) -> BatchResult[Inference]:
        return await self._batcher.submit(job, context, group=job[0].shape[:2])

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the model loaded for the duration of the block."""
        self._users += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    async def unload(self) -> None:
        """Wait for the users, finish the accepted images, free the memory."""
        await self._idle.wait()
        await self._batcher.close()
        await asyncio.to_thread(self.engine.close)

    def _run(self, jobs: Sequence[Job]) -> list[Inference]:
        started = time.monotonic()
        canvases, geometries, queries = zip(*jobs, strict=True)
        feeds = make_feeds(canvases, queries)
        prepared = time.monotonic()
        rows, counts = self.engine.run(feeds)
        finished = time.monotonic()
        found = [
            postprocess(image_rows, int(count), geometry, query)
            for image_rows, count, geometry, query in zip(rows, counts, geometries, queries, strict=True)
        ]
        seconds = time.monotonic() - finished
        self._metrics.postprocess_seconds.labels(self.package.name).observe(seconds)
        self._statistics.add_batch(len(jobs), prepared - started, finished - prepared, seconds)
        return [Inference(detections, seconds) for detections in found]


def load_verified(
    open_engine: OpenEngine,
    options: EngineOptions,
    package: Package,
    *,
    warm_up: bool = True,
    verify_on_load: bool = True,
) -> Engine:
    """Verify a package's files, open an engine for it, warm it up, and run the golden images.

    Raises:
        LineageError: a file is damaged, the engine cannot load the model, or its detections are wrong.
    """
    package.verify()
    engine = open_engine(package, options)
    try:
        if warm_up:
            engine.warm_up()
        if verify_on_load:
            check_golden(package, engine)
    except Exception:
        engine.close()
        raise
    return engine
