"""Detect objects for a request of any HTTP protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, cast

from starlette.requests import Request

from model_zoo.contract.errors import ImageError, ImageTooLarge
from service.api.errors import BadRequest
from service.api.problems import problem, slug
from service.inference.query import QueryOptions
from service.inference.request import RequestContext
from service.inference.results import DetectResult, ImageResult
from service.state import AppState

T = TypeVar("T")


async def detect_images(
    request: Request,
    images: Sequence[bytes],
    reference: str | None,
    query: QueryOptions | Sequence[QueryOptions],
    context: RequestContext,
) -> DetectResult:
    """Detect objects in image files, after the body has been read. A client that disconnects cancels the work.

    `query` is that of all images, or of each one.

    Raises:
        BadRequest: the client disconnected.
        LineageError, ServiceError: as `DetectionService.detect`.
    """
    state: AppState = request.state.service
    result = await cancel_on_disconnect(request, state.detection.detect(images, reference, query, context))
    count_unusable(state, result)
    return result


def count_unusable(state: AppState, result: DetectResult) -> None:
    """Count the images that cannot be used, by reason."""
    for unusable in (image for image in result.images if isinstance(image, ImageError)):
        state.metrics.image_refusals.labels(slug(problem(unusable).title)).inc()


def only_image(result: DetectResult) -> ImageResult:
    """Return the result of the only image, for protocols that answer 400 to an unusable one.

    Raises:
        BadRequest: the image cannot be used.
        ImageTooLarge: it exceeds a limit.
    """
    image = result.images[0]
    if isinstance(image, ImageTooLarge):
        raise image
    if isinstance(image, ImageError):
        raise BadRequest(str(image)) from image
    return image


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await the work, after the body has been read.

    Raises:
        BadRequest: the client disconnected. The work is cancelled.
    """
    disconnect = asyncio.ensure_future(request.receive())  # the body has been read: only the disconnect is left
    task = cast(asyncio.Task[Any], asyncio.current_task())
    is_working, is_cancelled = True, False

    def cancel(_: object) -> None:
        nonlocal is_cancelled
        if is_working:
            is_cancelled = task.cancel()

    disconnect.add_done_callback(cancel)
    try:
        return await work
    except asyncio.CancelledError:
        if is_cancelled and not task.uncancel():  # by nobody else
            raise BadRequest("the client disconnected") from None
        raise
    finally:
        is_working = False
        disconnect.cancel()
