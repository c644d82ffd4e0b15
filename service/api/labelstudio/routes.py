"""Routes of a machine learning backend for Label Studio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import ImageError
from model_zoo.contract.label_studio import to_prediction
from model_zoo.contract.package import Package
from model_zoo.contract.typed_json import shorten
from service.api.body import receive
from service.api.context import read_context
from service.api.detection import cancel_on_disconnect, detect_images
from service.api.json_body import documented_body, receive_json
from service.api.labelstudio.images import ImageSource
from service.api.labelstudio.label_config import Control, find_control
from service.api.labelstudio.schemas import PredictRequest, SetupRequest, Task
from service.api.offload import offload
from service.inference.memory import Reservation
from service.inference.query import QueryOptions
from service.inference.request import RequestContext
from service.inference.results import ImageResult
from service.settings import split_list
from service.state import AppState
from service.telemetry.logs import OncePerSecond

LOG: Final = logging.getLogger(__name__)
LOG.addFilter(OncePerSecond())
MAX_VALUES: Final = 300_000  # tasks come with their annotations
TASKS_AT_ONCE: Final = 8  # their images are in memory together
router = APIRouter(prefix="/label-studio", tags=["label-studio"])


@router.get("/health")
async def health() -> Response:
    """Report that the server runs."""
    return JSONResponse({"status": "UP"})


@router.post("/setup", openapi_extra=documented_body(SetupRequest))
async def setup(request: Request) -> Response:
    """Connect a project, and return the model that answers."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        asked = await receive_json(request, SetupRequest, context, memory)
    control = await _find_control(asked.schema_)
    package = await state.detection.check(control.model if control else None, _options(control), context)
    return JSONResponse({"model_version": package.reference})


@router.get("/versions")
async def versions(request: Request) -> Response:
    """List the versions of all models."""
    state: AppState = request.state.service
    return JSONResponse({"versions": list(state.store.known.packages)})


@router.post("/webhook", openapi_extra=documented_body({"type": "object"}))
async def webhook(request: Request) -> Response:
    """Accept an event. Nothing is trained here."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        await receive(request, context, memory)
    return JSONResponse({"status": "ok"})


@router.post("/predict", openapi_extra=documented_body(PredictRequest))
async def predict(request: Request) -> Response:
    """Detect objects in the images of tasks. The result of a task whose image cannot be used is empty."""
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        asked = await receive_json(request, PredictRequest, context, memory, MAX_VALUES)
        control = await _find_control(asked.label_config)
        package = await state.detection.check(control.model if control else None, _options(control), context)
        if control is None:
            LOG.warning("no predictions: the project has no <RectangleLabels> for an <Image>")
            return JSONResponse({"results": [_empty(package)] * len(asked.tasks)})
        results = []
        for start in range(0, len(asked.tasks), TASKS_AT_ONCE):
            tasks = asked.tasks[start : start + TASKS_AT_ONCE]
            results += await _predict(request, tasks, control, package, context)
    return JSONResponse({"results": results})


async def _find_control(config: str | None) -> Control | None:
    return await offload(len(config or ""), find_control, config or "")


async def _predict(
    request: Request, tasks: Sequence[Task], control: Control, package: Package, context: RequestContext
) -> list[dict[str, Any]]:
    """Return the predictions of tasks. `package` names the model where it detects nothing."""
    state: AppState = request.state.service
    with state.memory.reserve(context.client) as memory:
        images = await cancel_on_disconnect(request, _fetch(state, tasks, control, memory, context))
        files = [image for image in images if isinstance(image, bytes)]
        found: list[ImageResult | ImageError] = []
        if files:
            result = await detect_images(request, files, control.model, _options(control), context)
            package, found = result.package, list(result.images)
    labels = control.labels_by_class(package.card.class_names)
    if not labels:
        LOG.warning("no predictions: no class of %s is a label of the project", package.reference)
    detected = iter(found)
    predictions = []
    for task, image in zip(tasks, images, strict=True):
        outcome = next(detected) if isinstance(image, bytes) else image
        predictions.append(_prediction(task, outcome, control, labels, package))
    return predictions


async def _fetch(
    state: AppState, tasks: Sequence[Task], control: Control, memory: Reservation, context: RequestContext
) -> list[bytes | ImageError]:
    """Return the images of tasks, or why they cannot be used. At most half of the time left is for fetching."""
    settings, now = state.settings, asyncio.get_running_loop().time()
    origins = split_list(settings.label_studio_url or "")
    source = ImageSource(origins, settings.label_studio_token, settings.max_image_bytes)
    addresses = [task.data.get(control.data_key) if isinstance(task.data, dict) else None for task in tasks]
    return await source.get_all(addresses, memory.add, now + (context.deadline - now) / 2)


def _prediction(
    task: Task, outcome: ImageResult | ImageError, control: Control, labels: dict[int, str], package: Package
) -> dict[str, Any]:
    if isinstance(outcome, ImageError):
        LOG.warning("no prediction for task %s: %s", shorten(task.id), outcome)
        return _empty(package)
    names = {"from_name": control.from_name, "to_name": control.to_name}
    return to_prediction(outcome.detections, outcome.size, labels, package.reference, **names)


def _empty(package: Package) -> dict[str, Any]:
    return {"model_version": package.reference, "score": 0.0, "result": []}


def _options(control: Control | None) -> QueryOptions:
    return QueryOptions(score=control.score if control else None, clamp=True)
