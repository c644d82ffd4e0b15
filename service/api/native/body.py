"""Read request bodies into memory within limits on bytes, files and time.

Bytes are counted as received: a wrong Content-Length is not trusted. Nothing is written to disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request

from service.api.errors import BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody
from service.api.native.multipart import Part, PartReader
from service.inference.memory import Reservation

FIELDS: Final = ("file", "image")
FORM: Final = "multipart/form-data"
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
        UnsupportedBody: the content type is neither multipart nor an image, or the body is encoded.
        MemoryFull: the memory for request bodies is at its limit.
    """
    content_type = _content_type(request)
    try:
        async with asyncio.timeout_at(limits.deadline):
            if content_type == FORM:
                parts = PartReader(request.headers["content-type"], limits.max_files)
                await _receive(request, limits.max_bytes, memory, parts.feed)
                return _uploads(parts.finish())
            chunks: list[bytes] = []
            await _receive(request, limits.max_bytes, memory, chunks.append)
            return [Upload(None, b"".join(chunks))]
    except TimeoutError as error:
        raise BodyTooSlow("the body did not arrive in time; send a smaller one, or over a faster connection") from error
    except ClientDisconnect as error:
        raise BadRequest("the client disconnected while sending the body") from error


def _content_type(request: Request) -> str:
    """Return the media type of a body that can be read."""
    if (encoding := request.headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise UnsupportedBody(f"Content-Encoding: expected none; got {encoding[:100]!r}; send the image as it is")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != FORM and not content_type.startswith(RAW_TYPES):
        expected = f"{FORM} with files named {FIELDS[0]!r} (curl -F file=@photo.jpg), or image/* for a raw body"
        raise UnsupportedBody(f"Content-Type: expected {expected}; got {content_type[:100] or 'none'!r}")
    return content_type


async def _receive(request: Request, max_bytes: int, memory: Reservation, consume: Callable[[bytes], object]) -> None:
    """Pass the body to `consume` in chunks. Raises BodyTooLarge beyond `max_bytes`."""
    too_large = BodyTooLarge(f"the body: expected at most {max_bytes:,} bytes; send fewer or smaller images")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise too_large
        memory.add(len(chunk))
        consume(chunk)


def _uploads(parts: Sequence[Part]) -> list[Upload]:
    if not parts or any(part.name not in FIELDS for part in parts):
        names = ", ".join(repr(part.name[:MAX_FILE_NAME]) for part in parts) or "none"
        raise BadRequest(
            f"multipart body: expected only files named {FIELDS[0]!r} (-F file=@photo.jpg); got {names}; "
            "options such as score belong in the query"
        )
    return [Upload((part.file_name or "")[:MAX_FILE_NAME] or None, part.data) for part in parts]
