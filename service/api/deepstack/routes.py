"""The addresses of DeepStack and CodeProject.AI, at the root: most clients accept only a host and a port."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import PackageNotFound, QueryError
from service.api.access import IN_BODY, check_body_key
from service.api.context import CLIENT, read_context
from service.api.deepstack.answers import describe_image, describe_version
from service.api.deepstack.form import read_form
from service.api.detection import detect_images, only_image
from service.inference.query import QueryOptions
from service.inference.results import DetectResult
from service.state import AppState
from service.telemetry.tracing import version

REQUEST_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "string", "format": "binary"},
                        "min_confidence": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.4},
                        "api_key": {"type": "string"},
                    },
                }
            }
        },
    }
}

router = APIRouter(prefix="/v1", tags=["deepstack"])


@router.post("/vision/detection", openapi_extra=REQUEST_BODY)
async def detect(request: Request) -> Response:
    """Detect objects in the file `image` with the default model.

    Without `min_confidence`, at most 20 objects above 0.4 are reported.
    """
    return await _detect(request, None, "detect")


@router.post("/vision/custom/list")
async def list_models(request: Request) -> Response:
    """List the models for `/v1/vision/custom/{model}`."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        await read_form(request, context, memory)
    return JSONResponse({"success": True, "models": state.store.known.names})


@router.post("/vision/custom/{model}", openapi_extra=REQUEST_BODY)
async def detect_custom(request: Request, model: str) -> Response:
    """Detect objects in the file `image` with a model: its name, name@version or name@alias."""
    return await _detect(request, model, "custom")


@router.get("/status/updateavailable")
async def update_available(request: Request) -> Response:
    """Return the version of the server."""
    check_body_key(request, None)
    return JSONResponse(describe_version(version()))


@router.get("/status/ping")
@router.get("/server/status/ping")
async def ping(request: Request) -> Response:
    """Return success while the process runs."""
    check_body_key(request, None)
    return JSONResponse({"success": True})


async def _detect(request: Request, model: str | None, command: str) -> Response:
    started = asyncio.get_running_loop().time()
    try:
        result = await _detect_image(request, model)
    except QueryError as error:  # options are clamped, so it can only be the default model that is missing
        raise PackageNotFound(f"{error}; set --default-model, or use /v1/vision/custom/MODEL") from error
    image, package = only_image(result), result.package
    loaded = request.state.service.store.loaded.get(package)
    device = loaded.engine.device if loaded else "cpu"
    seconds = asyncio.get_running_loop().time() - started
    return JSONResponse(describe_image(image, package.card.class_names, command, device, seconds))


async def _detect_image(request: Request, model: str | None) -> DetectResult:
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    if IN_BODY not in request.scope:  # without a valid key, no model is loaded
        await state.detection.check(model, QueryOptions(), context)
    with state.memory.reserve(context.client) as memory:
        form = await read_form(request, context, memory)
        context = replace(context, client=request.scope.get(CLIENT, context.client))
        return await detect_images(request, [form.image], model, form.options, context)
