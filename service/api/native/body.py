"""Reads request bodies within limits: bytes counted as they come, parts counted, time bounded, lies ignored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.api.problems import BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody
from service.inference.batcher import QueueFull
from service.inference.service import Upload

FIELD: Final = "file"
RAW_TYPES: Final = ("image/", "application/octet-stream")
NAME_LENGTH: Final = 255


@dataclass
class Memory:
    """How many bytes all bodies together may still take."""

    free: int

    @contextmanager
    def account(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes bytes; they come back at the end."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self.free:
                raise QueueFull("the bodies of other requests take all the memory there is for them")
            self.free -= size
            taken += size

        try:
            yield take
        finally:
            self.free += taken


@dataclass(frozen=True)
class BodyLimits:
    """What one request may hold; `deadline`, in the loop's time, is for the whole of it."""

    max_bytes: int
    max_files: int
    deadline: float


async def read_uploads(request: Request, limits: BodyLimits, take: Callable[[int], None]) -> list[Upload]:
    """Return the files of a multipart request, or the one of a raw `image/*` body.

    `take` is told of all bytes that come. Raises BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody, QueueFull.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    limited = _limited(request, limits.max_bytes, take)
    try:
        async with asyncio.timeout_at(limits.deadline):
            if kind == "multipart/form-data":
                return await _read_form(limited, limits.max_files)
            if kind.startswith(RAW_TYPES):
                return [Upload(None, await limited.body())]
    except TimeoutError as error:
        raise BodyTooSlow("the body did not arrive in time; send it faster or smaller") from error
    except ClientDisconnect as error:
        raise BadRequest("the client went away while sending") from error
    expected = f"multipart/form-data with files named {FIELD!r}, or image/* for a raw body"
    raise UnsupportedBody(f"Content-Type: expected {expected}; got {kind or 'none'!r}")


def _limited(request: Request, max_bytes: int, take: Callable[[int], None]) -> Request:
    """Return the request with a body that raises BodyTooLarge where it exceeds the limit."""
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
        take(size)
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
