"""Errors in an HTTP request.

    RequestError            the request cannot be processed as sent
    ├── BadRequest          malformed body, or the client disconnected
    ├── NotAcceptable       `Accept` allows none of the available media types
    ├── BodyTooLarge        the body exceeds its limit
    ├── BodyTooSlow         the body did not arrive in time
    └── UnsupportedBody     the content type is not supported

Their messages are meant for the client.
"""


class RequestError(Exception):
    """Base of the errors in an HTTP request."""


class BadRequest(RequestError):
    """The request is malformed."""


class NotAcceptable(RequestError):
    """No available media type is acceptable to the client."""


class BodyTooLarge(RequestError):
    """The body has more bytes than allowed."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class UnsupportedBody(RequestError):
    """The content type is not supported."""
