"""POST /preview: an image as JPEG, for pages that show formats which browsers cannot decode, such as TIFF."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.context import read_context
from service.api.native.body import read_uploads
from service.api.native.detect import JPEG, REQUEST_BODY
from service.api.problems import documented
from service.state import AppState

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {JPEG: {"schema": {"type": "string", "format": "binary"}}}},
    "4XX": documented("The request, or its image, cannot be used"),
    503: documented("Overloaded; try again after Retry-After seconds"),
    504: documented("Not answered in time"),
}

router = APIRouter(tags=["native"])


@router.post("/preview", openapi_extra=REQUEST_BODY, response_class=Response, responses=RESPONSES)
async def preview(request: Request) -> Response:
    """Return an image as JPEG, as displayed (after EXIF rotation) and of at most 2,048 pixels a side.

    Send one file as for `/detect`. The limits are the same.
    """
    state: AppState = request.state.service
    context = read_context(request, state.settings.timeout)
    with state.memory.reserve(context.client) as memory:
        (upload,) = await read_uploads(request, 1, context, memory)
        return Response(await state.detection.preview(upload.data, context), media_type=JPEG)
