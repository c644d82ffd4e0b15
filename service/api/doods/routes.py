"""The addresses of DOODS, under /doods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import PackageNotFound, QueryError
from service.api.context import read_context
from service.api.detection import detect_images, only_image
from service.api.doods.messages import DEFAULT, DetectRequest, make_detections
from service.api.errors import BadRequest
from service.api.json_body import documented_body, receive_json
from service.api.offload import offload
from service.inference.errors import NotReady
from service.inference.model_store import ModelStore
from service.state import AppState

router = APIRouter(prefix="/doods", tags=["doods"])


@router.get("/detectors")
async def list_detectors(request: Request) -> Response:
    """List the models, with their labels and the size of their input."""
    state: AppState = request.state.service
    if state.store.catalog is None:
        raise NotReady("the model repository is being read; try again")
    return JSONResponse({"detectors": list(_detectors(state.store))})


@router.post("/detect", openapi_extra=documented_body(DetectRequest))
async def detect(request: Request) -> Response:
    """Detect objects in an image. Areas (`regions`) are ignored: Home Assistant applies its own."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        asked = await receive_json(request, DetectRequest, context, memory)
        reference = _reference(state.store, asked.detector_name)
        image = await offload(len(asked.data), asked.take_image)
        try:
            result = await detect_images(request, [image], reference, asked.options(), context)
        except (PackageNotFound, QueryError) as error:
            raise BadRequest(f"detector_name: {error}") from error
    detections = make_detections(only_image(result), result.package.card.class_names, asked)
    return JSONResponse({"id": asked.id or "", "detections": detections})


def _reference(store: ModelStore, name: str) -> str | None:
    """Return the model of a detector, None for the default model. A model of that name comes first."""
    return None if name in ("", DEFAULT) and DEFAULT not in store.known.all_names else name


def _detectors(store: ModelStore) -> Iterator[dict[str, Any]]:
    """Yield the default model under the name `default`, and all models."""
    references = {name: name for name in store.known.names}
    if store.default.name:
        references = {DEFAULT: store.default.name} | references
    for name, reference in references.items():
        package = store.serving(reference)
        if package:
            height, width = package.card.input_size
            yield {
                "name": name,
                "type": package.card.family,
                "model": package.reference,
                "labels": package.card.class_names,
                "width": width,
                "height": height,
            }
