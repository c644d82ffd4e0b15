"""The application: settings in, ASGI out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import cv2
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images import ImageLimits
from model_zoo.contract.package import Package, Repository
from model_zoo.runtime.base import Engine, OpenEngine
from model_zoo.runtime.open import open_engine, require_runtime
from service.api import problems
from service.api.native import detect, health, models
from service.api.native.body import Memory
from service.inference.batcher import Closed, DeadlineExceeded, QueueFull
from service.inference.bundled import BUNDLED_REPOSITORY, DEFAULT_REPOSITORY
from service.inference.loaded_model import BatchingOptions
from service.inference.model_store import ModelStore
from service.inference.service import Detection
from service.settings import Settings
from service.state import State
from service.telemetry.logs import RequestContext
from service.web import docs, routes

HANDLED_ERRORS = (
    LineageError,
    problems.ServiceError,
    QueueFull,
    DeadlineExceeded,
    Closed,
    HTTPException,
    RequestValidationError,
)


def create_app(settings: Settings, load: OpenEngine = open_engine) -> FastAPI:
    """Build the application; `load` opens engines, by default with the runtime that the settings name."""
    if load is open_engine:
        require_runtime(settings.engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, State]]:
        cv2.setNumThreads(1)  # many images at a time, one thread each
        state = _assemble(settings, load)
        watching = asyncio.create_task(state.store.watch(settings.poll))
        yield {"service": state}
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await state.detection.close()
        await state.store.close()

    app = FastAPI(
        title="YOLO Lineage",
        description="Object detection with eight generations of YOLO behind one contract.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for room in (detect, models, health, docs, routes):
        app.include_router(room.router)
    app.mount("/playground", routes.files)
    for kind in HANDLED_ERRORS:
        app.add_exception_handler(kind, problems.handle)
    app.add_middleware(problems.CatchAllMiddleware)
    app.add_middleware(RequestContext)  # outermost
    return app


def _assemble(settings: Settings, load: OpenEngine) -> State:
    def load_package(package: Package) -> Engine:
        package.verify()
        engine = load(package, settings.engine_options)
        try:
            if settings.warm_up:
                engine.warm_up()
        except Exception:
            engine.close()
            raise
        return engine

    store = ModelStore(
        Repository(settings.repository) if settings.repository else DEFAULT_REPOSITORY,
        load_package,
        BatchingOptions(settings.max_delay_ms / 1000, settings.queue_size),
        eager=settings.load,
        default=settings.default_model,
        until_then=None if settings.repository else BUNDLED_REPOSITORY,
    )
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    detection = Detection(settings.decoders, settings.queue_size, limits)
    return State(settings, store, detection, Memory(settings.max_pending))
