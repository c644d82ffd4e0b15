"""Forms of DeepStack clients: an image, and options as text, in any order. Unknown parts are ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from service.api.access import check_body_key
from service.api.body import receive_into
from service.api.errors import BadRequest
from service.api.multipart import Part, PartReader
from service.inference.memory import Reservation
from service.inference.query import QueryOptions
from service.inference.request import RequestContext

MIN_CONFIDENCE: Final = 0.4
# Frigate fails if a request without min_confidence is answered with more.
MAX_PREDICTIONS: Final = 20
_MAX_PARTS: Final = 32
_MAX_TEXT: Final = 256


@dataclass(frozen=True)
class Form:
    """The parts of a request."""

    parts: Sequence[Part]
    """Parts in the order of the body."""

    @property
    def image(self) -> bytes:
        """The file named `image`, or else the first file.

        Raises:
            BadRequest: there is none.
        """
        images = [p for p in self.parts if p.name == "image"] or [p for p in self.parts if p.file_name]
        if not images:
            names = ", ".join(repr(part.name[:100]) for part in self.parts) or "none"
            raise BadRequest(
                f"expected a multipart body with a file named 'image' (-F image=@a.jpg); got parts: {names}"
            )
        return images[0].data

    @property
    def options(self) -> QueryOptions:
        """Options of the detection.

        Raises:
            BadRequest: min_confidence is not a number from 0 to 1.
        """
        sent = self.text("min_confidence")
        if not sent:
            return QueryOptions(score=MIN_CONFIDENCE, max_detections=MAX_PREDICTIONS, clamp=True)
        try:
            score = float(sent)
        except ValueError:
            score = -1.0
        if not 0 <= score <= 1:
            raise BadRequest(f"min_confidence: expected a number from 0 to 1; got {sent[:100]!r}")
        return QueryOptions(score=score, clamp=True)

    def text(self, name: str) -> str:
        """Return the text of a part, empty if it is missing."""
        data = next((part.data for part in self.parts if part.name == name), b"")
        return data[:_MAX_TEXT].decode("utf-8", "replace").strip()


async def read_form(request: Request, context: RequestContext, memory: Reservation) -> Form:
    """Return the form of a request, after its key is checked. A body that is not multipart has no parts.

    Raises:
        RequestError, MemoryFull: as `receive_into` and `check_body_key`.
    """
    parts: Sequence[Part] = ()
    content_type = request.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/"):
        reader = PartReader(content_type, _MAX_PARTS)
        await receive_into(request, context, memory, reader.feed)
        parts = reader.finish()
    form = Form(parts)
    check_body_key(request, form.text("api_key"))
    return form
