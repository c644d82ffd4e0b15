"""Requests, answers, and the steps of a call.

The logic of the client is written once, as generators. They yield what to send and how long to wait, and receive the
outcome. `Client` and `AsyncClient` perform the steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from lineage.client.errors import ClientError, UnexpectedAnswer

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    """HTTP method."""
    path: str
    """Path below the address of the server."""
    params: Sequence[tuple[str, str]] = ()
    """Query parameters."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers, beside those of every request."""
    content: bytes | None = None
    """Body."""
    files: Sequence[tuple[str | None, bytes]] = ()
    """Names and contents of the files of a multipart body."""


@dataclass(frozen=True)
class Reply:
    """The answer of the server, whatever its status."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str]
    """Headers. Names are in lower case."""
    content: bytes
    """Body."""

    @property
    def media_type(self) -> str:
        """Content-Type without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def retry_after(self) -> float | None:
        """Seconds of the Retry-After header, None without one. Dates are ignored."""
        try:
            seconds = float(self.headers.get("retry-after", ""))
        except ValueError:
            return None
        return seconds if math.isfinite(seconds) and seconds >= 0 else None

    def problem(self) -> Mapping[str, Any]:
        """Return the members of a problem response, with the text of any other body as `detail`."""
        try:
            body = json.loads(self.content)
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        location = self.headers.get("location")
        text = f"redirected to {location}" if location else self.content[:200].decode("utf-8", "replace")
        return {"detail": text}


@dataclass(frozen=True)
class Send:
    """Step: send a request once."""

    call: Call
    """The request."""
    seconds: float
    """Max time until the whole answer has arrived."""


@dataclass(frozen=True)
class Wait:
    """Step: wait."""

    seconds: float
    """Time to wait."""


Outcome: TypeAlias = Reply | ClientError | None
Steps: TypeAlias = Generator[Send | Wait, Outcome, T]


@contextmanager
def expecting(what: str, reply: Reply) -> Iterator[None]:
    """Report an answer that cannot be parsed.

    Raises:
        UnexpectedAnswer: The block raised an error of parsing.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError) as error:
        start = reply.content[:100].decode("utf-8", "replace")
        detail = f"expected {what} of a detection server; got {reply.media_type or 'no type'}: {start!r}"
        raise UnexpectedAnswer(detail, status=reply.status) from error
