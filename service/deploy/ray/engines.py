"""A replica that runs models: it loads them when their first image arrives, and makes batches."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.runtime.open import open_engine
from service.deploy.ray.options import RaySettings
from service.deploy.ray.replica import start_replica
from service.engine_host.host import MAX_WAITING, WAIT_SECONDS, Found, Job, run_batch
from service.engine_host.messages import Document, describe_error, find_package
from service.inference.batcher import Batcher
from service.inference.engine_guard import EngineGuard
from service.inference.loaded_model import load_verified
from service.inference.request import RequestContext
from service.inference.timed_calls import LOAD_SECONDS, TimedCalls

NO_ROWS: Final = np.empty((0, 6), np.float32)
Answer = tuple[Document, NDArray[np.float32]]


class EngineFault(Exception):
    """An engine hung or died, and its replacement too. Ray replaces the replica."""


class Engines:
    """Engines as a replica. Models are multiplexed by name and version."""

    def __init__(self, settings: RaySettings) -> None:
        from ray import serve

        self._settings = start_replica(settings)
        self._packages: dict[str, Document] = {}
        self._calls = TimedCalls("open-engine")
        self._guards: weakref.WeakSet[EngineGuard] = weakref.WeakSet()

        async def load(reference: str) -> Model:  # Ray keeps its models on a function
            return await self._load(reference)

        self._find = serve.multiplexed(max_num_models_per_replica=settings.models_per_replica)(load)

    async def open(self, package: Document) -> Answer:
        """Load a package, and return what a server must know."""
        try:
            return (await self._get(package)).describe(), NO_ROWS
        except Exception as error:
            return describe_error(error), NO_ROWS

    async def run(self, package: Document, canvas: NDArray[np.uint8], thresholds: Sequence[float]) -> Answer:
        """Return count and rows of one canvas (H, W, 3)."""
        try:
            rows, count = await (await self._get(package)).run((canvas, thresholds))
        except Exception as error:
            return describe_error(error), NO_ROWS
        return {"count": count}, rows

    async def check_health(self) -> None:
        """Check that engines run.

        Raises:
            EngineFault: one does not, and could not be replaced.
        """
        if problems := [guard.problem for guard in self._guards if guard.problem]:
            raise EngineFault("; ".join(problems))

    async def _get(self, package: Document) -> Model:
        from ray import serve

        reference = serve.get_multiplexed_model_id()
        self._packages[reference] = package
        model: Model = await self._find(reference)
        return model

    async def _load(self, reference: str) -> Model:
        document = self._packages[reference]
        load = partial(_open, self._settings, document)
        guard = await self._calls.wait_for(load, LOAD_SECONDS, drop=EngineGuard.close)
        self._guards.add(guard)
        return Model(guard, self._settings.max_delay_ms / 1000)


def _open(settings: RaySettings, document: Document) -> EngineGuard:
    """Open an engine, warm it up and check its golden images."""
    load = partial(
        load_verified,
        open_engine,
        settings.engine_options,
        warm_up=settings.warm_up,
        verify_on_load=settings.verify_on_load,
    )
    return EngineGuard(find_package(document), load, settings.run_timeout)


class Model:
    """An open engine with its queue. It is closed once nobody uses it."""

    def __init__(self, engine: EngineGuard, max_delay: float) -> None:
        self._engine = engine
        self._batcher: Batcher[Job, Found] = Batcher(
            partial(run_batch, engine),
            workers=engine.workers,
            max_batch=engine.max_batch,
            max_delay=max_delay,
            queue_size=MAX_WAITING,  # Ray bounds the images of a replica
        )
        self._loop = asyncio.get_running_loop()
        weakref.finalize(self, _close, self._loop, self._batcher, engine).atexit = False

    def describe(self) -> Document:
        """Return what a server must know."""
        engine = self._engine
        return {"device": engine.device, "canvases": list(engine.canvases), "choice": asdict(engine.choice)}

    async def run(self, job: Job) -> Found:
        """Return rows and count of a canvas."""
        context = RequestContext(self._loop.time() + WAIT_SECONDS)
        return (await self._batcher.submit(job, context, group=job[0].shape[:2])).value


def _close(loop: asyncio.AbstractEventLoop, batcher: Batcher[Job, Found], engine: EngineGuard) -> None:
    """Close a queue and its engine in the background."""

    async def close() -> None:
        await batcher.close()
        await asyncio.to_thread(engine.close)

    asyncio.run_coroutine_threadsafe(close(), loop)
