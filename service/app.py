"""Build the ASGI application from settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import cv2
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images import ImageLimits
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import OpenEngine
from model_zoo.runtime.open import open_engine
from service.api import admin, problems
from service.api.errors import RequestError
from service.api.native import detect, health, models, query_errors
from service.inference.batcher import BatchingOptions
from service.inference.bundled import BUNDLED_REPOSITORY, DEFAULT_REPOSITORY
from service.inference.errors import ServiceError
from service.inference.image_pool import ImagePool
from service.inference.loaded_model import load_verified
from service.inference.memory import MemoryBudget
from service.inference.model_store import ModelStore
from service.inference.service import DetectionService
from service.middleware.catch_all import CatchAllMiddleware
from service.middleware.cors import ProblemCORSMiddleware
from service.middleware.methods import METHODS, MethodsMiddleware
from service.middleware.request_id import RequestIdMiddleware
from service.middleware.request_target import RequestTargetMiddleware
from service.settings import Settings, split_list
from service.state import AppState
from service.telemetry.metrics import Metrics
from service.web import docs, routes

HANDLED_ERRORS = (LineageError, ServiceError, RequestError, HTTPException)


def create_app(settings: Settings, open_engine: OpenEngine = open_engine) -> FastAPI:
    """Build the application. `open_engine` opens the engine of a package."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, AppState]]:
        cv2.setNumThreads(1)  # many images at a time, one thread each
        state = _create_state(settings, open_engine)
        watching = asyncio.create_task(state.store.watch(settings.poll))
        yield {"service": state}
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await state.detection.close()

    app = FastAPI(
        title="YOLO Lineage",
        description="Object detection with eight generations of YOLO behind one contract.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for module in (detect, models, health, admin, docs, routes):
        app.include_router(module.router)
    app.mount("/playground", routes.files)
    for kind in HANDLED_ERRORS:
        app.add_exception_handler(kind, problems.handle)
    app.add_exception_handler(RequestValidationError, query_errors.handle)
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """Add the middleware, innermost first."""
    app.add_middleware(CatchAllMiddleware)
    app.add_middleware(MethodsMiddleware)
    if origins := split_list(settings.cors_origins or ""):
        app.add_middleware(
            ProblemCORSMiddleware,
            allow_origins=origins,
            allow_private_network="*" not in origins,
            allow_headers=split_list(settings.cors_headers),
            allow_methods=METHODS,
            expose_headers=("X-Request-Id", "Retry-After"),
            max_age=settings.cors_max_age,
        )
    app.add_middleware(RequestTargetMiddleware)
    app.add_middleware(RequestIdMiddleware)


def _create_state(settings: Settings, open_engine: OpenEngine) -> AppState:
    metrics = Metrics()
    store = ModelStore(
        Repository(settings.repository) if settings.repository else DEFAULT_REPOSITORY,
        partial(load_verified, open_engine, settings.engine_options, warm_up=settings.warm_up),
        BatchingOptions(settings.max_delay_ms / 1000, settings.queue_size),
        eager=settings.load,
        default=settings.default_model,
        fallback=None if settings.repository else BUNDLED_REPOSITORY,
        metrics=metrics,
    )
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    detection = DetectionService(store, ImagePool(settings.decoders, settings.queue_size, limits), metrics)
    return AppState(settings, store, detection, MemoryBudget(settings.max_pending), metrics)
