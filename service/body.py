"""Reads request bodies within limits: bytes counted as they come, parts counted, time bounded, lies ignored."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.detection import Upload
from service.errors import BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody

FIELD: Final = "file"
RAW_TYPES: Final = ("image/", "application/octet-stream")
NAME_LENGTH: Final = 255


async def read_uploads(request: Request, *, max_bytes: int, max_files: int, deadline: float) -> list[Upload]:
    """Return the files of a multipart request, or the one of a raw `image/*` body.

    Raises BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    limited = _limited(request, max_bytes)
    try:
        async with asyncio.timeout_at(deadline):
            if kind == "multipart/form-data":
                return await _read_form(limited, max_files)
            if kind.startswith(RAW_TYPES):
                return [Upload(None, await limited.body())]
    except TimeoutError as error:
        raise BodyTooSlow("the body did not arrive in time; send it faster or smaller") from error
    except ClientDisconnect as error:
        raise BadRequest("the client went away while sending") from error
    expected = f"multipart/form-data with files named {FIELD!r}, or image/* for a raw body"
    raise UnsupportedBody(f"Content-Type: expected {expected}; got {kind or 'none'!r}")


def _limited(request: Request, max_bytes: int) -> Request:
    """Return the request with a body that raises BodyTooLarge where it exceeds the limit."""
    too_large = BodyTooLarge(f"the body: expected at most {max_bytes:,} bytes; send fewer or smaller images")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise too_large
        return message

    return Request(request.scope, receive)


async def _read_form(request: Request, max_files: int) -> list[Upload]:
    try:
        form = await request.form(max_files=max_files, max_fields=max_files, max_part_size=1024)
    except HTTPException as error:
        raise BadRequest(f"multipart body: {error.detail}") from error
    except ValueError as error:  # a charset that no codec makes sense of
        raise BadRequest(f"multipart body: cannot be read ({error})") from error
    try:
        files = [value for name, value in form.multi_items() if name == FIELD and isinstance(value, UploadFile)]
        if not files or len(files) < len(form.multi_items()):
            came = ", ".join(repr(name[:NAME_LENGTH]) for name in form) or "none"
            raise BadRequest(f"multipart body: expected files named {FIELD!r} alone (-F file=@photo.jpg); got {came}")
        return [Upload((file.filename or "")[:NAME_LENGTH] or None, await file.read()) for file in files]
    finally:
        await form.close()
