"""The addresses of DeepStack and CodeProject.AI, at the root: most clients accept only a host and a port."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import PackageNotFound, QueryError
from model_zoo.contract.plural import plural
from service.api.access import IN_BODY, check_body_key
from service.api.context import CLIENT, read_context
from service.api.deepstack.form import KEY, read_form
from service.api.deepstack.schemas import (
    CustomModels,
    DetectAnswer,
    Ping,
    UpdateAvailable,
    Version,
    make_predictions,
)
from service.api.detection import detect_images, only_image
from service.inference.service import DetectResult, QueryOptions
from service.state import AppState
from service.telemetry.tracing import version

MODULE: Final = "YOLO Lineage"
GPUS: Final = ("cuda", "tensorrt")
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


@router.post("/vision/detection", openapi_extra=REQUEST_BODY, responses={200: {"model": DetectAnswer}})
async def detect(request: Request) -> Response:
    """Detect objects in the file `image` with the default model.

    Without `min_confidence`, at most 20 objects above 0.4 are reported.
    """
    return _render(await _detect(request, None, "detect"))


@router.post("/vision/custom/list", responses={200: {"model": CustomModels}})
async def list_models(request: Request) -> Response:
    """List the models for `/v1/vision/custom/{model}`."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        await read_form(request, context, memory)
    catalog = state.store.catalog
    return _render(CustomModels(models=catalog.names if catalog else []))


@router.post("/vision/custom/{model}", openapi_extra=REQUEST_BODY, responses={200: {"model": DetectAnswer}})
async def detect_custom(request: Request, model: str) -> Response:
    """Detect objects in the file `image` with a model: its name, name@version or name@alias."""
    return _render(await _detect(request, model, "custom"))


@router.get("/status/updateavailable", responses={200: {"model": UpdateAvailable}})
async def update_available(request: Request) -> Response:
    """Return the version of the server."""
    check_body_key(request, None, KEY)
    current = Version.parse(version())
    return _render(UpdateAvailable(current=current, latest=current))


@router.get("/status/ping", responses={200: {"model": Ping}})
@router.get("/server/status/ping", responses={200: {"model": Ping}})
async def ping(request: Request) -> Response:
    """Return success while the process runs."""
    check_body_key(request, None, KEY)
    return _render(Ping())


async def _detect(request: Request, model: str | None, command: str) -> DetectAnswer:
    started = asyncio.get_running_loop().time()
    try:
        result = await _detect_image(request, model)
    except QueryError as error:  # options are clamped, so it can only be the default model that is missing
        raise PackageNotFound(f"{error}; set --default-model, or use /v1/vision/custom/MODEL") from error
    image = only_image(result)
    predictions = make_predictions(image, result.package.card.class_names)
    seconds = asyncio.get_running_loop().time() - started
    loaded = request.state.service.store.loaded.get(result.package)
    device = loaded.engine.device if loaded else "cpu"
    return DetectAnswer(
        message=f"{plural(len(predictions), 'object')} found",
        predictions=predictions,
        count=len(predictions),
        inferenceMs=round(1000 * image.infer_seconds),
        processMs=round(1000 * (image.decode_seconds + image.infer_seconds)),
        analysisRoundTripMs=round(1000 * seconds),
        duration=round(seconds, 3),
        moduleId=MODULE,
        command=command,
        executionProvider=device.upper(),
        canUseGPU=device in GPUS,
    )


async def _detect_image(request: Request, model: str | None) -> DetectResult:
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    if IN_BODY not in request.scope:  # without a valid key, no model is loaded
        await state.detection.check(model, QueryOptions(), context)
    with state.memory.reserve(context.client) as memory:
        form = await read_form(request, context, memory)
        context = replace(context, client=request.scope.get(CLIENT, context.client))
        return await detect_images(request, [form.image], model, form.options, context)


def _render(answer: BaseModel) -> Response:
    return JSONResponse(answer.model_dump())
