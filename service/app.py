"""Build the ASGI application from settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import cast

import cv2
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images import ImageLimits
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions, OpenEngine
from model_zoo.runtime.open import open_engine
from service.access.access import Access
from service.access.keys import Keys
from service.access.rate_limit import RateLimit
from service.api import admin, metrics, problems
from service.api.deepstack import routes as deepstack
from service.api.doods import routes as doods
from service.api.errors import RequestError
from service.api.labelstudio import routes as label_studio
from service.api.native import detect, health, live, models, preview, query_errors, shadow
from service.api.native.direct_route import DirectRoute
from service.api.oip import http as oip
from service.api.openapi import document_protocols
from service.api.roboflow import routes as roboflow
from service.api.state_metrics import StateCollector
from service.inference.allocator import limit_arenas, reuse_memory
from service.inference.batcher import BatchingOptions
from service.inference.bundled import BUNDLED_REPOSITORY, DEFAULT_REPOSITORY
from service.inference.engine_guard import EngineGuard
from service.inference.errors import ServiceError
from service.inference.image_pool import ImagePool
from service.inference.loaded_model import load_verified
from service.inference.memory import MemoryBudget
from service.inference.model_store import ModelStore
from service.inference.service import DetectionService
from service.inference.shadow import Shadow
from service.middleware.access import add_access
from service.middleware.catch_all import CatchAllMiddleware
from service.middleware.cors import ProblemCORSMiddleware
from service.middleware.methods import METHODS, MethodsMiddleware
from service.middleware.origin import OriginMiddleware
from service.middleware.request_id import RequestIdMiddleware
from service.middleware.request_target import RequestTargetMiddleware
from service.middleware.security_headers import SecurityHeadersMiddleware
from service.middleware.telemetry import TelemetryMiddleware
from service.settings import Settings, split_list
from service.state import AppState
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracer
from service.web import docs, routes

KEY_HEADERS = ("Authorization", "X-Api-Key")
HANDLED_ERRORS = (LineageError, ServiceError, RequestError, HTTPException)


def create_app(settings: Settings, open_engine: OpenEngine = open_engine) -> FastAPI:
    """Build the application. `open_engine` opens the engine of a package."""
    instruments = Metrics()
    for _, title in problems.STATUS_BY_ERROR.values():
        instruments.refusals.labels(problems.slug(title))  # starts at 0, so that an increase can be seen
    access = _make_access(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, AppState]]:
        limit_arenas()
        reuse_memory()
        cv2.setNumThreads(1)  # many images at a time, one thread each
        state = _create_state(settings, open_engine, instruments, access)
        instruments.registry.register(StateCollector(state))
        watching = [asyncio.create_task(state.store.watch(settings.poll))]
        watching += [asyncio.create_task(access.keys.watch())] if access.keys else []
        yield {"service": state}
        for task in watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await state.detection.close()
        if state.tracer:
            await asyncio.to_thread(state.tracer.close)

    app = FastAPI(
        title="YOLO Lineage",
        description="Object detection with eight generations of YOLO behind one contract.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the service has its own
    )
    for module in (
        detect,
        live,
        preview,
        oip,
        deepstack,
        doods,
        label_studio,
        models,
        health,
        metrics,
        admin,
        shadow,
        docs,
        routes,
    ):
        app.include_router(module.router)
    app.include_router(roboflow.router)  # last, as it has /{name}/{version}
    app.mount("/playground", routes.files)
    document_protocols(app)
    for kind in HANDLED_ERRORS:
        app.add_exception_handler(kind, problems.handle)
    app.add_exception_handler(RequestValidationError, query_errors.handle)
    _add_middleware(app, settings, access)
    app.state.metrics = instruments  # for what happens below the application, on connections
    return app


def _add_middleware(app: FastAPI, settings: Settings, access: Access) -> None:
    """Add the middleware, innermost first."""
    for route in detect.router.routes:
        app.add_middleware(DirectRoute, route=cast(APIRoute, route))
    app.add_middleware(CatchAllMiddleware)
    app.add_middleware(MethodsMiddleware)
    add_access(app, access)
    origins = split_list(settings.cors_origins or "")
    app.add_middleware(OriginMiddleware, allowed=origins)
    if origins:
        app.add_middleware(
            ProblemCORSMiddleware,
            allow_origins=origins,
            allow_private_network="*" not in origins,
            allow_headers=[*split_list(settings.cors_headers), *(KEY_HEADERS if access.keys else ())],
            allow_methods=METHODS,
            expose_headers=("X-Request-Id", "Retry-After", "Server-Timing"),
            max_age=settings.cors_max_age,
        )
    app.add_middleware(TelemetryMiddleware)
    app.add_middleware(RequestIdMiddleware)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=split_list(settings.trusted_proxies))
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(RequestTargetMiddleware)


def _make_access(settings: Settings) -> Access:
    rates = (settings.rate_per_key, settings.rate_per_address)
    per_key, per_address = (RateLimit(rate, settings.rate_burst) if rate else None for rate in rates)
    return Access(Keys(settings.keys) if settings.keys else None, per_key, per_address)


def _create_state(settings: Settings, open_engine: OpenEngine, metrics: Metrics, access: Access) -> AppState:
    verified = partial(load_verified, open_engine, warm_up=settings.warm_up, verify_on_load=settings.verify_on_load)

    def open_model(package: Package, options: EngineOptions) -> EngineGuard:
        return EngineGuard(package, partial(verified, options), settings.run_timeout, metrics)

    store = ModelStore(
        Repository(settings.repository) if settings.repository else DEFAULT_REPOSITORY,
        open_model,
        BatchingOptions(settings.max_delay_ms / 1000, settings.queue_size),
        options=settings.engine_options,
        eager=settings.load,
        default=settings.default_model,
        fallback=None if settings.repository else BUNDLED_REPOSITORY,
        metrics=metrics,
        memory=settings.model_memory,
        max_waiters=settings.max_load_waiters,
    )
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    comparing = Shadow(
        store.rollouts,
        partial(verified, settings.shadow_options),
        metrics,
        limits=limits,
        exact=settings.exact_decode,
        max_examples=settings.shadow_images,
    )
    images = ImagePool(settings.decoders, settings.queue_size, limits, exact=settings.exact_decode)
    detection = DetectionService(store, images, metrics, comparing)
    tracer = Tracer() if settings.tracing else None
    return AppState(settings, store, detection, MemoryBudget(settings.max_pending), metrics, access, tracer)
