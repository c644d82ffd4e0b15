"""OpenTelemetry traces: a span per request with children for its stages, linked to the span of the batch.

Spans of stages are made at the end of a request from measured times, so that nothing is added to the path of an image.
The exporter is configured by the standard variables OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_BSP_* and
OTEL_SERVICE_NAME. Without the extra `otel` this module still imports.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from model_zoo.contract.versions import installed_version
from service.telemetry.request import Batch, RequestRecord, Stage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OpenTelemetrySpan
    from opentelemetry.trace import SpanContext

SERVICE_NAME: Final = "yolo-lineage"
MAX_BATCHES: Final = 1000
NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a W3C traceparent header, empty if it is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else ""


def version() -> str:
    """Return the version of the installed distribution."""
    return installed_version(SERVICE_NAME) or "0+unknown"


def is_available() -> bool:
    """Return whether the packages of the extra `otel` are installed."""
    try:
        return all(find_spec(name) for name in NEEDED)
    except ModuleNotFoundError:
        return False


class Tracer:
    """Makes and exports the spans of one application. Needs the extra `otel`."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        name = os.environ.get("OTEL_SERVICE_NAME", SERVICE_NAME)
        resource = Resource.create({"service.name": name, "service.version": version()})
        self._provider: TracerProvider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("service", version())
        self._batches: OrderedDict[Batch, SpanContext] = OrderedDict()

    def start(self, name: str, attributes: Mapping[str, str | int], traceparent: str) -> Span:
        """Start the span of a request, as a child of the client's span if there is a valid traceparent."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        return Span(self, self._tracer.start_span(name, parent, SpanKind.SERVER, attributes, start_time=time.time_ns()))

    def add_stage(self, parent: OpenTelemetrySpan, stage: Stage, offset: int) -> None:
        """Make the span of a stage. `offset` leads from the monotonic clock to nanoseconds of Unix time."""
        from opentelemetry.trace import Link, set_span_in_context

        begin, end = (offset + int(seconds * 1e9) for seconds in (stage.started, stage.ended))
        links = [Link(self._batch_context(stage.batch, begin, end))] if stage.batch else []
        child = self._tracer.start_span(stage.name, set_span_in_context(parent), links=links, start_time=begin)
        child.end(end)

    def close(self) -> None:
        """Export the remaining spans and end the exporter's thread. Slow: call it in a thread."""
        self._provider.shutdown()

    def _batch_context(self, batch: Batch, begin: int, end: int) -> SpanContext:
        """Return the span of a batch, which the first request that ends makes."""
        from opentelemetry.context import Context

        if batch not in self._batches:
            attributes = {"lineage.batch.images": batch.size}
            span = self._tracer.start_span("batch", Context(), attributes=attributes, start_time=begin)
            span.end(end)
            self._batches[batch] = span.get_span_context()
            if len(self._batches) > MAX_BATCHES:
                self._batches.popitem(last=False)
        return self._batches[batch]


class Span:
    """The span of one request."""

    def __init__(self, tracer: Tracer, span: OpenTelemetrySpan) -> None:
        self._tracer, self._span = tracer, span
        self._offset = time.time_ns() - int(time.monotonic() * 1e9)
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def finish(self, record: RequestRecord, attributes: Mapping[str, str | int], *, failed: bool, name: str) -> None:
        """Add the stages, and end the span. `failed` marks a fault of the server. An empty `name` changes nothing."""
        if self._span.is_recording():
            for stage in record.stages:
                self._tracer.add_stage(self._span, stage, self._offset)
            self._describe(record, attributes, failed)
            if name:
                self._span.update_name(name)
        self._span.end(self._offset + int(time.monotonic() * 1e9))

    def _describe(self, record: RequestRecord, attributes: Mapping[str, str | int], failed: bool) -> None:
        from opentelemetry.trace import StatusCode

        described: dict[str, str | int] = {**attributes, "lineage.images": record.images}
        if record.model:
            described |= {"lineage.model.name": record.model, "lineage.model.version": record.version}
            described["lineage.detections"] = record.detections
        if record.problem:
            described["error.type"] = record.problem
        self._span.set_attributes(described)
        if failed:
            self._span.set_status(StatusCode.ERROR)
