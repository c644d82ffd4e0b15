"""Read the image files of a native request: multipart forms and raw bodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from service.api.body import receive, receive_into
from service.api.errors import BadRequest, UnsupportedBody
from service.api.multipart import Part, PartReader
from service.inference.memory import Reservation
from service.inference.request import RequestContext

FIELDS: Final = ("file", "image")
FORM: Final = "multipart/form-data"
RAW_TYPES: Final = ("image/", "application/octet-stream")
MAX_FILE_NAME: Final = 255


@dataclass(frozen=True)
class Upload:
    """One image file of a request."""

    file: str | None
    """File name sent by the client, None for a raw body."""
    data: bytes
    """Contents of the file."""


async def read_uploads(request: Request, max_files: int, context: RequestContext, memory: Reservation) -> list[Upload]:
    """Return the files of a multipart request, or the one of a raw `image/*` body.

    All bytes received are added to `memory`.

    Raises:
        BadRequest: the body is malformed, or the client disconnected.
        UnsupportedBody: the content type is neither multipart nor an image, or the body is encoded.
        BodyTooLarge, BodyTooSlow, MemoryFull: as `service.api.body.receive`.
    """
    if _content_type(request) == FORM:
        parts = PartReader(request.headers["content-type"], max_files)
        await receive_into(request, context, memory, parts.feed)
        return _uploads(parts.finish())
    return [Upload(None, await receive(request, context, memory))]


def _content_type(request: Request) -> str:
    """Return the media type of a body that can be read."""
    if (encoding := request.headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise UnsupportedBody(f"Content-Encoding: expected none; got {encoding[:100]!r}; send the image as it is")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != FORM and not content_type.startswith(RAW_TYPES):
        expected = f"{FORM} with files named {FIELDS[0]!r} (curl -F file=@photo.jpg), or image/* for a raw body"
        raise UnsupportedBody(f"Content-Type: expected {expected}; got {content_type[:100] or 'none'!r}")
    return content_type


def _uploads(parts: Sequence[Part]) -> list[Upload]:
    if not parts or any(part.name not in FIELDS for part in parts):
        names = ", ".join(repr(part.name[:MAX_FILE_NAME]) for part in parts) or "none"
        raise BadRequest(
            f"multipart body: expected only files named {FIELDS[0]!r} (-F file=@photo.jpg); got {names}; "
            "options such as score belong in the query"
        )
    return [Upload((part.file_name or "")[:MAX_FILE_NAME] or None, part.data) for part in parts]
