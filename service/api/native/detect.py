"""POST /detect: pictures in, detections or a drawn picture out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import ImageError
from model_zoo.contract.package import Package
from service.api import problems
from service.api.native.body import BodyLimits, read_uploads
from service.api.native.negotiation import choose
from service.api.native.schemas import DetectAnswer, DetectQuery, Problem
from service.inference.service import Found, Upload
from service.state import State

JSON, JPEG = "application/json", "image/jpeg"
T = TypeVar("T")

router = APIRouter()

BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": DetectAnswer, "content": {JPEG: {"schema": {"type": "string", "format": "binary"}}}},
    "4XX": {"model": Problem, "description": "The request, or its only image, cannot be used"},
    503: {"model": Problem, "description": "Queue full or not ready; try again after Retry-After seconds"},
    504: {"model": Problem, "description": "Not answered in time"},
}


@router.post("/detect", openapi_extra=BODY, responses=ANSWERS)
async def detect(request: Request, query: Annotated[DetectQuery, Query()]) -> Response:
    """Find objects on one or several images.

    Send files as multipart parts named `file`, or one as a raw `image/*` body. With several files a bad one has an
    `error` in its own result and harms no other. `Accept: image/jpeg` answers the drawn picture (one file).
    """
    state: State = request.state.service
    settings, began = state.settings, asyncio.get_running_loop().time()
    deadline = began + settings.timeout
    form = choose(request.headers.get("accept"), (JSON, JPEG))
    with state.memory.account() as take:
        uploads = await read_uploads(request, BodyLimits(settings.max_body, settings.max_files, deadline), take)
        if form == JPEG and len(uploads) > 1:
            raise problems.BadRequest(f"Accept {JPEG}: expected one file, for one drawn picture; got {len(uploads)}")
        async with state.store.lease(query.model, deadline) as model:
            work = state.detection.detect_all(model, uploads, _checked(model.card, query), deadline)
            found = await _unless_gone(request, work)
            if len(found) == 1 and isinstance(found[0], ImageError):
                raise found[0]
            if form == JPEG and isinstance(found[0], Found):
                picture = await state.detection.draw(uploads[0], found[0], model.card.class_names, deadline)
                return Response(picture, media_type=JPEG)
            return _answer(model.package, uploads, found, asyncio.get_running_loop().time() - began)


def _checked(card: ModelCard, query: DetectQuery) -> pipeline.Query:
    return pipeline.make_query(
        card,
        score=query.score,
        iou=query.iou,
        distance_weight=pipeline.DISTANCE_WEIGHTS[query.nms] if query.nms else None,
        classes=query.class_list,
        max_detections=query.max_detections,
    )


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, but give it up when the client goes away."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # the body was read: what comes now is the disconnect
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise problems.BadRequest("the client went away")
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


def _answer(package: Package, uploads: Sequence[Upload], found: Sequence[Found | ImageError], total: float) -> Response:
    names = package.card.class_names
    good = [f for f in found if isinstance(f, Found)]
    slowest = {stage: max((getattr(f, stage) for f in good), default=0.0) for stage in ("decode", "queue", "infer")}
    body = {
        "model": {"name": package.name, "version": package.version},
        "results": [{"file": u.file} | _result(f, names) for u, f in zip(uploads, found, strict=True)],
        "timing_ms": {stage: round(1000 * seconds, 3) for stage, seconds in (slowest | {"total": total}).items()},
    }
    return Response(json.dumps(body), media_type=JSON)


def _result(found: Found | ImageError, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(found, ImageError):
        return {"error": problems.problem(found)}
    height, width = found.size
    return {"image": {"width": width, "height": height}, "detections": found.detections.to_dict(names)}
