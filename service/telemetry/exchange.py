"""A request of any protocol until its answer: its record, metrics, log line and trace."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from service.telemetry.logs import OncePerSecond, trace_id
from service.telemetry.metrics import Metrics
from service.telemetry.request import CURRENT_REQUEST, RequestRecord
from service.telemetry.tracing import Tracer, trace_id_of

ACCESS = logging.getLogger("service.access")
_REFUSALS: Final = OncePerSecond(only_keys=True)
ACCESS.addFilter(_REFUSALS)
NO_ANSWER: Final = 499  # the client has gone
OVERLOADED: Final = (429, 503)


@dataclass(frozen=True)
class Outcome:
    """The end of a request, in the terms of its protocol."""

    status: int
    """HTTP status of the answer, or that of the same answer over HTTP."""
    title: str
    """Message of the log line: method and path."""
    code: str = ""
    """Code of the answer, if the protocol has others than the status."""
    is_probe: bool = False
    """Whether it is a health check or the like."""
    is_stream: bool = False
    """Whether it lasted as long as the client wanted. Then its seconds say nothing about the server."""
    span: str = ""
    """Name of the span, if it differs from that at the start."""
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    """Attributes of the span, by the semantic conventions of the protocol."""

    @property
    def label(self) -> int | str:
        """The code, or else the status, in metrics and logs."""
        return self.code or self.status

    @property
    def level(self) -> int:
        """Level of the log line: WARNING for faults of the server, DEBUG for probes, which would fill the log."""
        if self.status in (500, 504):
            return logging.WARNING
        return logging.DEBUG if self.is_probe else logging.INFO

    @property
    def is_overload(self) -> bool:
        """Whether the request was refused because of overload. Such lines are logged once per second and reason."""
        return self.status in OVERLOADED


class Exchange:
    """Measures one request. Its record is that of the current task, and of the tasks that it starts."""

    def __init__(
        self, protocol: str, tracer: Tracer | None, span: str, attributes: Mapping[str, str | int], traceparent: str
    ) -> None:
        """Start the measurement, and a span if there is a tracer. `traceparent` is the one that the client sent."""
        self._started = time.monotonic()
        self.record = RequestRecord(protocol)
        CURRENT_REQUEST.set(self.record)
        self._span = tracer.start(span, attributes, traceparent) if tracer else None
        trace_id.set(self._span.trace_id if self._span else trace_id_of(traceparent))
        self.received = 0
        """Bytes received."""
        self.sent = 0
        """Bytes sent."""
        self.client = ""
        """Name of the API key."""

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def finish(self, metrics: Metrics, outcome: Outcome) -> None:
        """Record the request everywhere."""
        record, seconds = self.record, self.seconds
        metrics.requests.labels(record.protocol, record.model, record.version, outcome.label).inc()
        if not outcome.is_stream:
            metrics.request_seconds.labels(record.protocol).observe(seconds)
        if record.problem:
            metrics.refusals.labels(record.problem).inc()
        if self._span:
            self._span.finish(record, outcome.attributes, failed=outcome.status >= 500, name=outcome.span)
        if ACCESS.isEnabledFor(outcome.level):
            self._log(outcome, seconds)

    def _log(self, outcome: Outcome, seconds: float) -> None:
        record = self.record
        key = f"{outcome.label} {record.problem}" if outcome.is_overload else None
        if key and _REFUSALS.is_repeated(key):
            return
        fields = {
            "status": outcome.label,
            "took_ms": round(1000 * seconds, 1),
            "model": record.model,
            "version": record.version,
            "client": self.client,
            "received": self.received,
            "sent": self.sent,
            "images": record.images if outcome.is_stream else "",
            "problem": record.problem,
        }
        fields = {name: value for name, value in fields.items() if value != ""}
        ACCESS.log(outcome.level, "%s", outcome.title, extra={"fields": fields, "key": key})
