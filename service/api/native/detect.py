"""POST /detect: detections, or the image with its detections drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from model_zoo.contract.errors import ImageError
from service.api.context import read_context
from service.api.detection import detect_images
from service.api.errors import BadRequest
from service.api.json_text import write_json
from service.api.native.body import Upload, read_uploads
from service.api.native.negotiation import negotiate
from service.api.native.schemas import DetectAnswer, DetectQuery
from service.api.problems import documented, problem
from service.api.protocols import JSON
from service.inference.results import DetectResult, ImageResult
from service.state import AppState

JPEG: Final = "image/jpeg"

router = APIRouter(tags=["native"])

REQUEST_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": DetectAnswer, "content": {JPEG: {"schema": {"type": "string", "format": "binary"}}}},
    "4XX": documented("The request, or its only image, cannot be used"),
    503: documented("Overloaded or not ready; try again after Retry-After seconds"),
    504: documented("Not answered in time"),
}


@router.post("/detect", openapi_extra=REQUEST_BODY, responses=RESPONSES)
async def detect(request: Request, query: Annotated[DetectQuery, Query()]) -> Response:
    """Detect objects in one or several images.

    Send files as multipart parts named `file` or `image`, or one as a raw `image/*` body. With several files, a bad one
    has an `error` in its own result and does not affect the others. `Accept: image/jpeg` returns the image with its
    detections drawn (one file).
    """
    state: AppState = request.state.service
    settings, started = state.settings, asyncio.get_running_loop().time()
    context, options = read_context(request, settings.timeout), query.options()
    media_type = negotiate(request.headers.get("accept"), (JSON, JPEG))
    await state.detection.check(query.model, options, context)
    with state.memory.reserve(context.client) as memory:
        uploads = await read_uploads(request, settings.max_files, context, memory)
        if media_type == JPEG and len(uploads) > 1:
            raise BadRequest(f"Accept {JPEG}: expected one file; got {len(uploads)}; send them one by one")
        images = [upload.data for upload in uploads]
        result = await detect_images(request, images, query.model, options, context)
        first = result.images[0]
        if len(uploads) == 1 and isinstance(first, ImageError):
            raise first
        if media_type == JPEG and isinstance(first, ImageResult):
            names = result.package.card.class_names
            return Response(await state.detection.draw(images[0], first.detections, names, context), media_type=JPEG)
    answer = _answer(uploads, result, asyncio.get_running_loop().time() - started)
    return Response(write_json(answer), media_type=JSON)


def _answer(uploads: Sequence[Upload], result: DetectResult, total_seconds: float) -> dict[str, Any]:
    """Return a `DetectAnswer`, built without pydantic: validation costs more than all else here."""
    package = result.package
    images = [image for image in result.images if isinstance(image, ImageResult)]
    names = package.card.class_names
    return {
        "model": {"name": package.name, "version": package.version},
        "results": [_result(u.file, image, names) for u, image in zip(uploads, result.images, strict=True)],
        "timing_ms": timing_ms(images, total_seconds),
    }


def timing_ms(images: Sequence[ImageResult], total_seconds: float) -> dict[str, float]:
    """Return the milliseconds of the slowest image in each stage, and of the request."""
    return {
        "decode": _milliseconds(max((image.decode_seconds for image in images), default=0.0)),
        "queue": _milliseconds(max((image.queue_seconds for image in images), default=0.0)),
        "infer": _milliseconds(max((image.infer_seconds for image in images), default=0.0)),
        "total": _milliseconds(total_seconds),
    }


def _result(file: str | None, image: ImageResult | ImageError, class_names: Sequence[str]) -> dict[str, Any]:
    if isinstance(image, ImageError):
        return {"file": file, "error": problem(image).to_dict()}
    height, width = image.size
    size = {"width": width, "height": height}
    return {"file": file, "image": size, "detections": image.detections.to_dict(class_names)}


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)
