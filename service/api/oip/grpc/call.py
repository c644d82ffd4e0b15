"""One remote call: who asks and until when, its limits, its record, and its errors as gRPC codes.

A call is a POST over HTTP/2 whose headers are its metadata, so access and deadline work as over HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Self, TypeVar
from urllib.parse import unquote

from grpc import StatusCode
from grpc.aio import ServicerContext
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from service.access import key_file
from service.access.rate_limit import client_network
from service.api.access import check_scope, find_key, take_turn, tokens_of
from service.api.context import CLIENT, read_context
from service.api.errors import Forbidden
from service.api.problems import describe
from service.api.protocols import Protocol
from service.inference.memory import Reservation
from service.inference.request import RequestContext
from service.state import AppState
from service.telemetry.exchange import NO_ANSWER, OVERLOADED, Exchange, Outcome
from service.telemetry.logs import request_id
from service.telemetry.request import valid_or_new_id

PROTOCOL: Final = Protocol("oip-grpc")
# Codes by the status of the same answer over HTTP.
CODES: Final[Mapping[int, StatusCode]] = {
    200: StatusCode.OK,
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    408: StatusCode.DEADLINE_EXCEEDED,
    409: StatusCode.FAILED_PRECONDITION,
    413: StatusCode.INVALID_ARGUMENT,
    415: StatusCode.INVALID_ARGUMENT,
    422: StatusCode.INVALID_ARGUMENT,
    429: StatusCode.RESOURCE_EXHAUSTED,
    NO_ANSWER: StatusCode.CANCELLED,
    500: StatusCode.INTERNAL,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}
MAX_TEXT: Final = 1000  # characters of an error: clients limit the size of metadata
T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why a call is refused."""

    code: StatusCode
    """Code of the answer."""
    text: str
    """Reason, for the user of the client."""
    metadata: tuple[tuple[str, str], ...]
    """Metadata after the answer."""


def make_scope(rpc: ServicerContext, method: str) -> Scope:
    """Return a call in the form of an HTTP request (ASGI). `method` is the name of the service and its method."""
    metadata = [(name, value) for name, value in rpc.invocation_metadata() or () if isinstance(value, str)]
    return {
        "type": "http",
        "method": "POST",
        "path": f"/{method}",
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in metadata],
        "client": (unquote(rpc.peer()).partition(":")[2].rpartition(":")[0].strip("[]"), 0),
    }


def authorize(state: AppState, scope: Scope, needed: key_file.Scope) -> None:
    """Check the API key of a call. Its name becomes that of the client.

    Raises:
        Unauthorized, Forbidden: the key is missing or unknown, or has not the scope that is `needed`.
    """
    if keys := state.access.keys:
        key = find_key(keys, set(tokens_of(scope, PROTOCOL)), PROTOCOL)
        scope[CLIENT] = key.name
        check_scope(key, needed)
    elif needed == "admin":
        how = "start the server with --keys FILE, written by lineage keys add"
        raise Forbidden(f"{scope['path']} needs API keys: {how}")


class Call:
    """A message to answer. Make it in the task that answers it: its record and its log lines belong to that task.

    The end of the block records the call, and releases the memory of its message and its answer.
    """

    def __init__(self, state: AppState, scope: Scope) -> None:
        self._state, self._scope, self._held = state, scope, ExitStack()
        headers, path = Headers(scope=scope), scope["path"].removeprefix("/")
        self._id = valid_or_new_id(headers.get("x-request-id", ""))
        request_id.set(self._id)
        attributes = {"rpc.system.name": "grpc", "rpc.method": path, "client.address": scope["client"][0]}
        self.exchange = Exchange(PROTOCOL.name, state.tracer, path, attributes, headers.get("traceparent", ""))
        self._status, self._is_probe = NO_ANSWER, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        record = self.exchange.record
        for stage in record.stages:
            if stage.name == "receive":
                receiving = self._state.metrics.stage_seconds.labels(record.model, "receive")
                receiving.observe(stage.ended - stage.started)
        code = self._code.name
        attributes = {"rpc.response.status_code": code}
        outcome = Outcome(self._status, self._scope["path"], code, self._is_probe, attributes=attributes)
        self.exchange.finish(self._state.metrics, outcome)

    @property
    def _code(self) -> StatusCode:
        return CODES.get(self._status, StatusCode.UNKNOWN)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata after the answer."""
        return (("x-request-id", self._id),)

    def admit(self, needed: key_file.Scope | None, seconds: float | None) -> tuple[RequestContext, Reservation]:
        """Check limits and API key. Return the context, and a reservation for the bytes of the message and its answer.

        `needed` is the scope of the method, None for a probe. `seconds` are those that the client still waits.

        Raises:
            Unauthorized, Forbidden: as `authorize`.
            RateLimited: the address or the key sends too many messages.
            BadRequest: the metadata have a malformed deadline or priority.
        """
        self._is_probe = needed is None
        if needed:
            access, scope = self._state.access, self._scope
            take_turn(access.address_limit, client_network(scope["client"][0]), "address")
            authorize(self._state, scope, needed)
            self.exchange.client = scope.get(CLIENT, "")
            if self.exchange.client:
                take_turn(access.key_limit, self.exchange.client, "key")
        limit = self._state.settings.timeout
        context = read_context(Request(self._scope), limit if seconds is None else min(limit, seconds))
        return context, self._held.enter_context(self._state.memory.reserve(context.client))

    async def attempt(self, work: Awaitable[T]) -> T | Failure:
        """Return what the work returns, or why it fails."""
        try:
            result = await work
        except Exception as error:
            return self.fail(error)
        self._status = 200
        return result

    def fail(self, error: Exception) -> Failure:
        """Record an error and return it as a refusal."""
        described = describe(error)
        self._status = described.status
        metadata = self.metadata
        if self._status in OVERLOADED:
            metadata += (("grpc-retry-pushback-ms", str(int(1000 * getattr(error, "retry_after", 1.0)))),)
        return Failure(self._code, described.detail[:MAX_TEXT], metadata)
