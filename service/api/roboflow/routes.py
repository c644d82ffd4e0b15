"""Routes of Roboflow's inference protocol: the SDK's, and those of the hosted service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.convertors import Convertor, StringConvertor, register_url_convertor
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import ImageError
from model_zoo.contract.package import Package
from service.api.access import check_body_key
from service.api.base64_text import decode_base64
from service.api.body import receive
from service.api.context import CLIENT, read_context
from service.api.detection import detect_images
from service.api.errors import BadRequest
from service.api.json_body import documented_body, receive_json
from service.api.offload import offload
from service.api.protocols import HOSTED_NAME, JSON
from service.api.roboflow.schemas import InferRequest, ModelRequest, make_options, to_answer, to_reference
from service.inference.memory import Reservation
from service.inference.query import QueryOptions
from service.inference.request import RequestContext
from service.state import AppState
from service.telemetry.tracing import version as server_version

SERVER_ID: Final = str(uuid4())
HOSTED: Final[dict[str, Any]] = {
    "parameters": [
        {"name": name, "in": "query", "schema": {"type": "number", "minimum": 0, "maximum": 100}}
        for name in ("confidence", "overlap")
    ],
    "requestBody": {
        "required": True,
        "content": {"text/plain": {"schema": {"type": "string", "contentEncoding": "base64"}}},
    },
}
router = APIRouter(tags=["roboflow"])


class NameConvertor(StringConvertor):
    """The name of a model in an address."""

    regex = HOSTED_NAME


class VersionConvertor(Convertor[int]):
    """The version of a model in an address."""

    regex = "[0-9]{1,9}"

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the part of an address."""
        return str(value)


register_url_convertor("hosted", NameConvertor())
register_url_convertor("version", VersionConvertor())


@router.get("/info")
async def info(request: Request) -> Response:
    """Return name and version of the server."""
    check_body_key(request, None)
    return JSONResponse({"name": "YOLO Lineage", "version": server_version(), "uuid": SERVER_ID})


@router.get("/model/registry")
async def registry(request: Request) -> Response:
    """List the models, by name, by alias and by version. The SDK runs no others."""
    check_body_key(request, None)
    return _list_models(request.state.service)


@router.post("/model/add", openapi_extra=documented_body(ModelRequest))
async def add(request: Request) -> Response:
    """Load a model of the repository, and list all models."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        asked = await receive_json(request, ModelRequest, context, memory)
    check_body_key(request, asked.api_key)
    await state.detection.check(to_reference(asked.model_id), QueryOptions(), context)
    return _list_models(state)


@router.post(
    "/infer/object_detection",
    openapi_extra=documented_body(InferRequest),
    responses={200: {"content": {JSON: {"schema": {"type": ["object", "array"]}}}}},
)
async def infer(request: Request) -> Response:
    """Detect objects in one image, or in a list of images, which is answered by a list."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        asked = await receive_json(request, InferRequest, context, memory)
        check_body_key(request, asked.api_key)
        context = replace(context, client=request.scope.get(CLIENT, context.client))
        options = asked.options()
        images = await offload(asked.text_size(), asked.take_images, state.settings.max_files)
        answers = await _detect(request, images, to_reference(asked.model_id), options, context)
    return JSONResponse(answers if isinstance(asked.image, list) else answers[0])


@router.post("/{name:hosted}/{version:version}", openapi_extra=HOSTED)
async def infer_hosted(request: Request, name: str, version: int) -> Response:
    """Detect objects in one image, sent as base64 text, as the hosted service does.

    `confidence` and `overlap` are from 0 to 1. Numbers from 1 are per cent, as old programs send them.
    """
    check_body_key(request, None)
    state: AppState = request.state.service
    context, reference = read_context(request, state.settings.timeout), f"{name}@{version}"
    options = make_options(_fraction(request, "confidence"), _fraction(request, "overlap"))
    await state.detection.check(reference, options, context)
    with state.memory.reserve(context.client) as memory:
        image = await _read_base64(request, context, memory)
        answers = await _detect(request, [image], reference, options, context)
    return JSONResponse(answers[0])


async def _read_base64(request: Request, context: RequestContext, memory: Reservation) -> bytes:
    text = (await receive(request, context, memory)).decode("latin-1")
    return await offload(len(text), decode_base64, text, "the body")


async def _detect(
    request: Request, images: Sequence[bytes], reference: str, options: QueryOptions, context: RequestContext
) -> list[dict[str, Any]]:
    """Return the answers of all images. The protocol has no form for an error of one of them.

    Raises:
        ImageError: an image cannot be used.
        RequestError, LineageError, ServiceError: as `detect_images`.
    """
    started = asyncio.get_running_loop().time()
    result = await detect_images(request, images, reference, options, context)
    seconds = asyncio.get_running_loop().time() - started
    answers = []
    for index, image in enumerate(result.images):
        if isinstance(image, ImageError):
            raise type(image)(f"image[{index}]: {image}" if len(images) > 1 else str(image))
        answers.append(to_answer(image, result.package.card.class_names, seconds))
    return answers


def _list_models(state: AppState) -> Response:
    catalog = state.store.known
    listed = {name: package for name in catalog.names if (package := state.store.serving(name))}
    listed |= {reference: package for reference, package in catalog.references.items() if "@" in reference}
    listed |= catalog.packages
    rows = [_describe(reference.replace("@", "/"), package, state) for reference, package in listed.items()]
    return JSONResponse({"models": rows})


def _describe(model_id: str, package: Package, state: AppState) -> dict[str, Any]:
    height, width = package.card.input_size
    return {
        "model_id": model_id,
        "task_type": "object-detection",
        "batch_size": state.settings.max_files,
        "input_height": height,
        "input_width": width,
    }


def _fraction(request: Request, name: str) -> float | None:
    """Return a number of the query from 0 to 1.

    Raises:
        BadRequest: it is no number.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        raise BadRequest(f"{name}: expected a number from 0 to 1, or per cent; got {text[:100]!r}") from None
    return value / 100 if value >= 1 else value
