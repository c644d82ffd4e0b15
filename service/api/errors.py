"""Errors in an HTTP request.

    RequestError            the request cannot be processed as sent
    ├── BadRequest          malformed request, or the client disconnected
    ├── Unauthorized        no valid API key
    ├── Forbidden           the scope of the API key is not enough
    ├── RateLimited         the key or the address sends too many requests
    ├── NotAcceptable       `Accept` allows none of the available media types
    ├── HeadTooLarge        the head of the request exceeds its limit
    ├── HeadTooSlow         the head of the request did not arrive in time
    ├── BodyTooLarge        the body exceeds its limit
    ├── BodyTooSlow         the body did not arrive in time
    ├── UnsupportedBody     the content type or encoding is not supported
    ├── UpgradeRequired     the address is a WebSocket
    ├── InvalidQuery        unknown parameters or values of the wrong type
    └── TooManyConnections  the server has no connection left

Their messages are meant for the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final


class RequestError(Exception):
    """Base of the errors in an HTTP request."""


class BadRequest(RequestError):
    """The request is malformed."""


class Unauthorized(RequestError):
    """The request has no valid API key."""

    headers: Final = {"WWW-Authenticate": "Bearer"}


class Forbidden(RequestError):
    """The scope of the API key is not enough."""


class RateLimited(RequestError):
    """The key or the address sends too many requests."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until the next request is allowed."""


class NotAcceptable(RequestError):
    """No available media type is acceptable to the client."""


class HeadTooLarge(RequestError):
    """The head of the request has more bytes than allowed."""


class HeadTooSlow(RequestError):
    """The head of the request did not arrive in time."""


class BodyTooLarge(RequestError):
    """The body has more bytes than allowed."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class UnsupportedBody(RequestError):
    """The content type or encoding is not supported."""


class UpgradeRequired(RequestError):
    """The address is a WebSocket."""

    headers: Final = {"Upgrade": "websocket", "Connection": "Upgrade"}


class InvalidQuery(RequestError):
    """The query has unknown parameters or values of the wrong type."""

    def __init__(self, faults: Sequence[Mapping[str, str]]) -> None:
        super().__init__("; ".join(f"{fault['where']}: {fault['reason']}" for fault in faults))
        self.faults = [dict(fault) for fault in faults]


class TooManyConnections(RequestError):
    """The server has no connection left."""
