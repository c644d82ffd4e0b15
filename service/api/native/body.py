"""Read request bodies within limits on bytes, files and time.

Bytes are counted as received: a wrong Content-Length is not trusted.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.api.errors import BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody
from service.inference.memory import Reservation

FIELD: Final = "file"
RAW_TYPES: Final = ("image/", "application/octet-stream")
MAX_FILE_NAME: Final = 255


@dataclass(frozen=True)
class BodyLimits:
    """Limits on the body of one request."""

    max_bytes: int
    """Max number of bytes."""
    max_files: int
    """Max number of files."""
    deadline: float
    """Time, on the event loop's clock, by which the whole body must have arrived."""


@dataclass(frozen=True)
class Upload:
    """One image file of a request."""

    file: str | None
    """File name sent by the client, None for a raw body."""
    data: bytes
    """Contents of the file."""


async def read_uploads(request: Request, limits: BodyLimits, memory: Reservation) -> list[Upload]:
    """Return the files of a multipart request, or the one of a raw `image/*` body.

    All bytes received are added to `memory`.

    Raises:
        BadRequest: the body is malformed, or the client disconnected.
        BodyTooLarge: the body exceeds `limits.max_bytes`.
        BodyTooSlow: the body did not arrive before the deadline.
        UnsupportedBody: the content type is neither multipart nor an image.
        MemoryFull: the memory for request bodies is at its limit.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    limited = _limited(request, limits.max_bytes, memory)
    try:
        async with asyncio.timeout_at(limits.deadline):
            if content_type == "multipart/form-data":
                return await _read_form(limited, limits.max_files)
            if content_type.startswith(RAW_TYPES):
                return [Upload(None, await limited.body())]
    except TimeoutError as error:
        raise BodyTooSlow("the body did not arrive in time; send a smaller one, or over a faster connection") from error
    except ClientDisconnect as error:
        raise BadRequest("the client disconnected while sending the body") from error
    expected = f"multipart/form-data with files named {FIELD!r}, or image/* for a raw body"
    raise UnsupportedBody(f"Content-Type: expected {expected}; got {content_type or 'none'!r}")


def _limited(request: Request, max_bytes: int, memory: Reservation) -> Request:
    """Return the request with a body that raises BodyTooLarge beyond `max_bytes`."""
    too_large = BodyTooLarge(f"the body: expected at most {max_bytes:,} bytes; send fewer or smaller images")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        size = len(message.get("body", b""))
        received += size
        if received > max_bytes:
            raise too_large
        memory.add(size)
        return message

    return Request(request.scope, receive)


async def _read_form(request: Request, max_files: int) -> list[Upload]:
    try:
        form = await request.form(max_files=max_files, max_fields=max_files, max_part_size=1024)
    except HTTPException as error:
        raise BadRequest(f"multipart body: {error.detail}") from error
    except ValueError as error:  # an unknown or unusable charset
        raise BadRequest(f"multipart body: cannot be read ({error})") from error
    try:
        files = [value for name, value in form.multi_items() if name == FIELD and isinstance(value, UploadFile)]
        if not files or len(files) < len(form.multi_items()):
            names = ", ".join(repr(name[:MAX_FILE_NAME]) for name in form) or "none"
            raise BadRequest(f"multipart body: expected only files named {FIELD!r} (-F file=@photo.jpg); got {names}")
        return [Upload((file.filename or "")[:MAX_FILE_NAME] or None, await file.read()) for file in files]
    finally:
        await form.close()
