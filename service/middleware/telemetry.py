"""Metrics, access log, Server-Timing header and trace of every request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import CLIENT
from service.api.protocols import is_health_check, protocol_of
from service.middleware.request_id import HEADS
from service.state import AppState
from service.telemetry.exchange import NO_ANSWER, Exchange, Outcome
from service.telemetry.logs import hide_keys
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracer

ACCEPTED: Final = 101


class TelemetryMiddleware:
    """Measures requests. Refusals because of overload are logged once per second and reason."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and record what it did."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        state: AppState = scope["state"]["service"]
        exchange = _HttpExchange(scope, receive, send, state.tracer if scope["type"] == "http" else None)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            exchange.finish(state.metrics)


class _HttpExchange:
    """One request and its answer, or one WebSocket, whose messages have traces of their own."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, tracer: Tracer | None) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._method = scope.get("method", "GET")
        self._status = NO_ANSWER
        traceparent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")
        protocol, attributes = protocol_of(scope["path"]).name, _request_attributes(scope) if tracer else {}
        self._exchange = Exchange(protocol, tracer, self._method, attributes, traceparent)

    async def receive(self) -> Message:
        """Count the bytes of the body or message."""
        message = await self._receive()
        self._exchange.received += _size(message)
        return message

    async def send(self, message: Message) -> None:
        """Count the bytes of the answer, and add the Server-Timing header."""
        if message["type"] in HEADS:
            self._status = message.get("status", ACCEPTED)
            if self._exchange.record.stages:
                timing = (b"server-timing", self._server_timing().encode())
                message["headers"] = [*message.get("headers", []), timing]
        self._exchange.sent += _size(message)
        await self._send(message)

    def finish(self, metrics: Metrics) -> None:
        """Record the request everywhere."""
        scope, status = self._scope, self._status
        route = getattr(scope.get("route"), "path", None)
        self._exchange.client = scope.get(CLIENT, "")
        outcome = Outcome(
            status=status,
            title=f"{self._method} {scope['path']}",
            is_probe=scope["path"] == "/metrics" or is_health_check(scope["path"]),
            is_stream=status == ACCEPTED,
            span=f"{self._method} {route}" if route else "",
            attributes={"http.response.status_code": status} | ({"http.route": route} if route else {}),
        )
        self._exchange.finish(metrics, outcome)

    def _server_timing(self) -> str:
        """Return the milliseconds of the slowest image in each stage, and of the request so far."""
        seconds = self._exchange.record.slowest() | {"total": self._exchange.seconds}
        return ", ".join(f"{name};dur={1000 * duration:.3f}" for name, duration in seconds.items())


def _size(message: Message) -> int:
    """Return the bytes of a body or message."""
    return len(message.get("body") or message.get("bytes") or message.get("text") or b"")


def _request_attributes(scope: Mapping[str, Any]) -> dict[str, str | int]:
    """Return what the semantic conventions for HTTP servers name, without the query, which may hold secrets."""
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
    return {
        "http.request.method": scope["method"],
        "url.path": hide_keys(scope["path"]),
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope.get("http_version", "1.1"),
        "client.address": client[0],
        "server.address": server[0],
        "server.port": server[1] or 0,
    }
