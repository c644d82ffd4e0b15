"""Every refusal as problem+json (RFC 9457): one table from exception to status and title.

Texts of LineageError and of the service's own exceptions are written for the user and are sent as they are; of any
other exception nothing is sent but that it happened, and the request id under which the log tells more.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_zoo.contract import errors as contract
from service.inference.batcher import Closed, DeadlineExceeded, QueueFull
from service.telemetry.logs import request_id

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = {"Retry-After": "1"}
LOG = logging.getLogger(__name__)


class ServiceError(Exception):
    """A refusal of the service itself; the text is meant for the user."""


class BadRequest(ServiceError):
    """The request is not of the form the service takes."""


class NotAcceptable(ServiceError):
    """The answer cannot be given in any form the client accepts."""


class BodyTooLarge(ServiceError):
    """The body has more bytes than allowed."""


class BodyTooSlow(ServiceError):
    """The body did not arrive in time."""


class UnsupportedBody(ServiceError):
    """The body is of a media type that is not taken."""


class NotReady(ServiceError):
    """What is asked for is not loaded yet."""


_TABLE: Final[dict[type[Exception], tuple[int, str]]] = {
    BadRequest: (400, "Bad request"),
    contract.PackageNotFound: (404, "No such model"),
    NotAcceptable: (406, "Not acceptable"),
    BodyTooSlow: (408, "Body too slow"),
    contract.PackageError: (409, "Model unusable"),
    BodyTooLarge: (413, "Body too large"),
    contract.ImageTooLarge: (413, "Image too large"),
    UnsupportedBody: (415, "Unsupported body"),
    contract.UnsupportedImage: (415, "Unsupported image"),
    contract.LineageError: (422, "Not processable"),
    contract.ImageError: (422, "Image unreadable"),
    contract.QueryError: (422, "Query out of range"),
    RequestValidationError: (422, "Query not understood"),
    QueueFull: (503, "Queue full"),
    Closed: (503, "Shutting down"),
    NotReady: (503, "Not ready"),
    DeadlineExceeded: (504, "Deadline exceeded"),
    Exception: (500, "Internal error"),
}


def problem(error: Exception) -> dict[str, Any]:
    """Return the problem object of an exception."""
    if isinstance(error, HTTPException):
        return _object(error.status_code, str(error.detail), HTTPStatus(error.status_code).phrase)
    status, title = next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
    if status == 500:
        return _object(status, "the service failed on this request; its log tells more under the request id", title)
    if isinstance(error, RequestValidationError):
        faults = [{"where": ".".join(map(str, e["loc"])), "reason": e["msg"]} for e in error.errors()]
        detail = "; ".join(f"{fault['where']}: {fault['reason']}" for fault in faults)
        return _object(status, detail, title) | {"errors": faults}
    return _object(status, str(error), title)


def respond(error: Exception) -> Response:
    """Return the response that tells the client of an exception; what nobody foresaw is logged."""
    body = problem(error)
    headers = RETRY_AFTER if body["status"] == 503 else dict(getattr(error, "headers", None) or {})
    if body["status"] == 500:
        LOG.error("request failed", exc_info=error)
    return Response(json.dumps(body), body["status"], headers, MEDIA_TYPE)


class CatchAllMiddleware:
    """Middleware: what no handler caught becomes a problem, not a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; nothing can be told any more once it has begun to answer."""
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await respond(error)(scope, receive, send)


async def handle(_: Request, error: Exception) -> Response:
    """Answer an exception that a route raised (the signature Starlette asks for)."""
    return respond(error)


def _object(status: int, detail: str, title: str) -> dict[str, Any]:
    kind = f"urn:yolo-lineage:problem:{title.lower().replace(' ', '-')}"
    return {"type": kind, "title": title, "status": status, "detail": detail, "request_id": request_id.get()}
