"""Errors as problem+json (RFC 9457), from one table of status codes and titles.

Messages of LineageError, ServiceError and RequestError are written for the client and are sent unchanged. Any other
exception is logged under the request id, and the client learns only that it happened.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from model_zoo.contract import errors as contract
from service.api import errors as http
from service.api.addresses import explain
from service.api.json_text import write_json
from service.api.protocols import BY_NAME, PROBLEM
from service.inference import errors as inference
from service.telemetry.logs import request_id
from service.telemetry.request import current_request

RETRY_AFTER: Final[Mapping[str, str]] = {"Retry-After": "1"}
LOG = logging.getLogger(__name__)

STATUS_BY_ERROR: Final[Mapping[type[Exception], tuple[int, str]]] = {
    http.BadRequest: (400, "Bad request"),
    http.Unauthorized: (401, "Unauthorized"),
    http.Forbidden: (403, "Forbidden"),
    contract.PackageNotFound: (404, "No such model"),
    http.NotAcceptable: (406, "Not acceptable"),
    http.BodyTooSlow: (408, "Body too slow"),
    http.HeadTooSlow: (408, "Head too slow"),
    contract.ChangeRefused: (409, "Change refused"),
    contract.PackageError: (409, "Model unusable"),
    http.BodyTooLarge: (413, "Body too large"),
    contract.ImageTooLarge: (413, "Image too large"),
    http.UnsupportedBody: (415, "Unsupported body"),
    contract.UnsupportedImage: (415, "Unsupported image"),
    contract.LineageError: (422, "Not processable"),
    contract.ImageError: (422, "Image unreadable"),
    contract.QueryError: (422, "Query out of range"),
    http.InvalidQuery: (422, "Query not understood"),
    http.UpgradeRequired: (426, "Upgrade required"),
    http.RateLimited: (429, "Rate limit reached"),
    http.HeadTooLarge: (431, "Head too large"),
    inference.DecodeQueueFull: (503, "Decode queue full"),
    inference.EngineFailed: (503, "Engine failed"),
    inference.InferenceQueueFull: (503, "Inference queue full"),
    inference.LoadQueueFull: (503, "Load queue full"),
    inference.MemoryFull: (503, "Memory full"),
    inference.NotReady: (503, "Not ready"),
    http.TooManyConnections: (503, "Too many connections"),
    inference.ShuttingDown: (503, "Shutting down"),
    inference.WaitTooLong: (503, "Wait too long"),
    inference.DeadlineExceeded: (504, "Deadline exceeded"),
    Exception: (500, "Internal error"),
}


def slug(title: str) -> str:
    """Return a title as the last part of a type, which labels metrics and log lines."""
    return title.lower().replace(" ", "-")


class Problem(BaseModel):
    """Why a request, or one file of it, was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, str]] = []

    def to_dict(self) -> dict[str, Any]:
        """Return the members of a problem response."""
        return self.model_dump(exclude_unset=True)


def documented(description: str) -> dict[str, Any]:
    """Return the OpenAPI description of a problem response."""
    return {"description": description, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def problem(error: Exception) -> Problem:
    """Describe an exception."""
    if isinstance(error, HTTPException):
        return _problem(error.status_code, str(error.detail), HTTPStatus(error.status_code).phrase)
    status, title = next(STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR)
    if status == 500:
        return _problem(status, "internal error; the server's log has the details under this request id", title)
    described = _problem(status, str(error), title)
    return described.model_copy(update={"errors": error.faults}) if isinstance(error, http.InvalidQuery) else described


def describe(error: Exception) -> Problem:
    """Describe an exception, record its reason for the current request, and log it if it is unexpected."""
    described = problem(error)
    current_request().problem = slug(described.title)
    if described.status == 500:
        LOG.error("request failed", exc_info=error)
    return described


def respond(error: Exception, members: Mapping[str, object] = MappingProxyType({})) -> Response:
    """Return the response to an exception in the form of the request's protocol, with `members` added.

    Its reason is recorded, and it is logged if it is unexpected.
    """
    described = describe(error)
    headers = retry_after(error) if described.status in (429, 503) else getattr(error, "headers", None)
    protocol = BY_NAME[current_request().protocol]
    body = described.to_dict() | dict(protocol.error_members(described.detail)) | dict(members)
    return Response(write_json(body), described.status, headers, protocol.media_type)


def retry_after(error: Exception) -> dict[str, str]:
    """Return the header with the whole seconds after which a new try may succeed."""
    return {"Retry-After": str(max(1, math.ceil(getattr(error, "retry_after", 1.0))))}


async def handle(request: Request, error: Exception) -> Response:
    """Answer an exception that a route raised, with the signature of Starlette's handlers."""
    if isinstance(error, HTTPException):
        error = HTTPException(error.status_code, explain(request, error), error.headers)
    return respond(error)


def _problem(status: int, detail: str, title: str) -> Problem:
    kind = f"urn:yolo-lineage:problem:{slug(title)}"
    return Problem(type=kind, title=title, status=status, detail=detail, request_id=request_id.get())
