"""Errors of the client, by what the caller can do about them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from model_zoo.contract import errors

PREFIX: Final = "urn:yolo-lineage:problem:"


class ClientError(Exception):
    """Base class of all errors of the client. A field that is not known is None."""

    def __init__(
        self,
        detail: str,
        *,
        title: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Describe what happened.

        Args:
            detail: The expected value, the actual one and the fix.
            title: Kind of the error, as in the table of errors of the server.
            status: HTTP status.
            request_id: Id under which the server logged the request.
            retry_after: Seconds after which a new try may succeed.
        """
        super().__init__(detail)
        self.detail = detail
        self.title = title
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.tries = 1

    def __str__(self) -> str:
        title = f"{self.title}: " if self.title else ""
        facts = [f"status {self.status}"] if self.status else []
        facts += [f"request {self.request_id}"] if self.request_id else []
        facts += [f"{self.tries} tries"] if self.tries > 1 else []
        return f"{title}{self.detail}" + (f" ({', '.join(facts)})" if facts else "")


class ImageError(ClientError, errors.ImageError):
    """The image cannot be read, or the server cannot use it."""


class InvalidRequest(ClientError):
    """The server refused the request: an option is out of range, or the request is too large."""


class AccessDenied(ClientError):
    """The API key is missing, unknown or expired, or its scope is not enough."""


class ModelNotFound(ClientError):
    """The model, version or alias does not exist."""


class Unavailable(ClientError):
    """The server is overloaded, not ready, restarting or unreachable. The client has already tried again."""


class DeadlineExceeded(ClientError, TimeoutError):
    """There was no answer within the timeout."""


class TLSError(ClientError):
    """The connection is not secure: the certificate is not trusted, or the port does not speak TLS."""


class ServerError(ClientError):
    """The server failed. Its log has the details under the request id."""


class UnexpectedAnswer(ClientError):
    """The answer is not that of a detection server. The address is probably that of another program."""


KINDS: Final[Mapping[str, type[ClientError]]] = {
    "image-too-large": ImageError,
    "unsupported-image": ImageError,
    "image-unreadable": ImageError,
    "no-such-model": ModelNotFound,
}
STATUSES: Final[Mapping[int, type[ClientError]]] = {
    401: AccessDenied,
    403: AccessDenied,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}
E = TypeVar("E", bound=ClientError)


def from_problem(status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> ClientError:
    """Return the error that an answer with an error status describes (RFC 9457)."""
    kind = str(problem.get("type", "")).removeprefix(PREFIX)
    return _describe(KINDS.get(kind) or STATUSES.get(status) or _by_class(status), status, problem, retry_after)


def image_error(problem: Mapping[str, Any]) -> ImageError:
    """Return the error of one of several images."""
    return _describe(ImageError, int(problem["status"]), problem)


def _describe(kind: type[E], status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> E:
    return kind(
        str(problem.get("detail") or "no details"),
        title=str(problem.get("title") or _phrase(status)),
        status=status,
        request_id=str(problem["request_id"]) if "request_id" in problem else None,
        retry_after=retry_after,
    )


def _by_class(status: int) -> type[ClientError]:
    if status < 400:
        return UnexpectedAnswer
    return InvalidRequest if status < 500 else ServerError


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "Error"
