"""Metrics, access log, Server-Timing header and trace of every HTTP request."""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import CLIENT
from service.api.protocols import is_health_check, protocol_of
from service.state import AppState
from service.telemetry.logs import OncePerSecond, trace_id
from service.telemetry.metrics import Metrics
from service.telemetry.request import CURRENT_REQUEST, RequestRecord
from service.telemetry.tracing import Span, Tracer, trace_id_of

ACCESS = logging.getLogger("service.access")
ACCESS.addFilter(OncePerSecond(only_keys=True))
NO_ANSWER: Final = 499
OVERLOADED: Final = (429, 503)


class TelemetryMiddleware:
    """Measures requests. Refusals because of overload are logged once per second and reason."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and record what it did."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: AppState = scope["state"]["service"]
        exchange = _Exchange(scope, receive, send, state.tracer)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            exchange.finish(state.metrics)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, tracer: Tracer | None) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._started = time.monotonic()
        self._status, self._received, self._sent = NO_ANSWER, 0, 0
        self._record = RequestRecord(protocol_of(scope["path"]).name)
        CURRENT_REQUEST.set(self._record)
        traceparent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")
        self._span: Span | None = tracer.start(scope, traceparent) if tracer else None
        trace_id.set(self._span.trace_id if self._span else trace_id_of(traceparent))

    async def receive(self) -> Message:
        """Count the bytes of the body."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Count the bytes of the answer, and add the Server-Timing header."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._record.stages:
                timing = (b"server-timing", self._server_timing().encode())
                message["headers"] = [*message.get("headers", []), timing]
        self._sent += len(message.get("body", b""))
        await self._send(message)

    def finish(self, metrics: Metrics) -> None:
        """Record the request everywhere."""
        record, seconds = self._record, time.monotonic() - self._started
        metrics.requests.labels(record.protocol, record.model, record.version, self._status).inc()
        metrics.request_seconds.labels(record.protocol).observe(seconds)
        if record.problem:
            metrics.refusals.labels(record.problem).inc()
        if self._span:
            self._span.finish(record, self._status)
        self._log(seconds)

    def _server_timing(self) -> str:
        """Return the milliseconds of the slowest image in each stage, and of the request so far."""
        seconds = self._record.slowest() | {"total": time.monotonic() - self._started}
        return ", ".join(f"{name};dur={1000 * duration:.3f}" for name, duration in seconds.items())

    def _log(self, seconds: float) -> None:
        level = _level(self._scope["path"], self._status)
        if not ACCESS.isEnabledFor(level):
            return
        record = self._record
        fields = {
            "status": self._status,
            "took_ms": round(1000 * seconds, 1),
            "model": record.model,
            "version": record.version,
            "client": self._scope.get(CLIENT, ""),
            "received": self._received,
            "sent": self._sent,
            "problem": record.problem,
        }
        extra: dict[str, object] = {"fields": {name: value for name, value in fields.items() if value != ""}}
        if self._status in OVERLOADED:
            extra["key"] = f"{self._status} {record.problem}"
        ACCESS.log(level, "%s %s", self._scope["method"], self._scope["path"], extra=extra)


def _level(path: str, status: int) -> int:
    """Return WARNING for faults of the server, DEBUG for probes, which would fill the log, and INFO for others."""
    if status in (500, 504):
        return logging.WARNING
    return logging.DEBUG if path == "/metrics" or is_health_check(path) else logging.INFO
