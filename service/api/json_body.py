"""Read a small JSON body within limits of size and time."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from model_zoo.contract import typed_json
from service.api.errors import BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody

MAX_BYTES: Final = 65_536
JSON: Final = "application/json"


def documented_body(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a JSON body."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


async def read_json(request: Request, deadline: float) -> object:
    """Return the parsed body. `deadline` is a time on the event loop's clock.

    Raises:
        BadRequest: the body is not JSON in UTF-8, or the client disconnected.
        BodyTooLarge: the body exceeds MAX_BYTES.
        BodyTooSlow: the body did not arrive before the deadline.
        UnsupportedBody: the content type is not JSON.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise UnsupportedBody(f"Content-Type: expected {JSON}; got {content_type[:100] or 'none'!r}")
    try:
        async with asyncio.timeout_at(deadline):
            body = await _read(request)
        return typed_json.parse(body.decode())
    except TimeoutError as error:
        raise BodyTooSlow("the body did not arrive in time; send it again") from error
    except ClientDisconnect as error:
        raise BadRequest("the client disconnected while sending the body") from error
    except ValueError as error:  # UnicodeDecodeError and LineageError
        raise BadRequest(f"the body: {error}") from error


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BodyTooLarge(f"the body: expected at most {MAX_BYTES:,} bytes of JSON")
    return bytes(body)
