"""Metrics of one application in the Prometheus data model, with names and units by the rules of OpenMetrics.

Counters and histograms are recorded where the work happens. Current values, such as queue lengths, are read at the
scrape by collectors that are added to the registry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from service.telemetry.statistics import Statistics

T = TypeVar("T", bound=MetricWrapperBase)
PREFIX: Final = "lineage"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
IMAGES: Final = (1, 2, 4, 8, 16, 32, 64)
IOUS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
SCORE_CHANGES: Final = (-0.3, -0.1, -0.05, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05, 0.1, 0.3)
ENGINE_FAILURES: Final = ("hung", "error")
# Versions whose series are kept after they were unloaded.
MAX_RETIRED: Final = 8


class Metrics:
    """The instruments of one application. Labels are bounded: unknown models and versions never become labels."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.scrape: Callable[[], Awaitable[Collector]] | None = None
        """Returns the metrics of all processes, where there are several."""
        self.statistics = Statistics()
        self._by_version: list[MetricWrapperBase] = []
        self._retired: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.requests = self._counter("requests", "Requests", ("protocol", "model", "version", "code"))
        self.request_seconds = self._seconds("request", "From the head of a request to its answer", ("protocol",))
        self.stage_seconds = self._seconds("stage", "Stages: receive, decode, queue, infer", ("model", "stage"))
        self.postprocess_seconds = self._seconds("postprocess", "From the output of an engine to boxes", ("model",))
        self.batch_images = self._histogram("batch_images", "Images per inference", ("model",), IMAGES)
        self.detections = self._counter("detections", "Detections", ("model", "version", "label"))
        self.refusals = self._counter("refusals", "Requests answered with a problem", ("reason",))
        self.image_refusals = self._counter("image_refusals", "Images that cannot be used", ("reason",))
        self.connections = Gauge(f"{PREFIX}_connections", "Open connections", registry=self.registry)
        self.connections_limit = Gauge(f"{PREFIX}_connections_limit", "Max open connections", registry=self.registry)
        self.connections_closed = self._counter("connections_closed", "Connections closed by a limit", ("reason",))
        self.live_connections = Gauge(f"{PREFIX}_live_connections", "Open WebSockets", registry=self.registry)
        self.live_images = self._counter("live_images", "Images of WebSockets by end", ("result",))
        self.model_loads = self._counter("model_loads", "Loads of models", ("model", "version", "result"))
        self.model_load_seconds = self._seconds("model_load", "Verify, load and warm up", ("model",))
        self.model_unloads = self._counter("model_unloads", "Unloads of models", ("model", "version", "reason"))
        self.engine_failures = self._counter("engine_failures", "Engines replaced", ("model", "version", "reason"))
        self.shadow_images = self._counter("shadow_images", "Images of shadow traffic", ("model", "version", "result"))
        self.shadow_detections = self._counter(
            "shadow_detections", "Detections by difference to the primary", ("model", "version", "label", "difference")
        )
        self.shadow_iou = self._histogram("shadow_iou", "IoU of a pair", ("model", "version"), IOUS)
        self.shadow_score_change = self._histogram(
            "shadow_score_change", "Score of the shadow minus that of the answer", ("model", "version"), SCORE_CHANGES
        )
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def start_version(self, model: str, version: int) -> None:
        """Keep the series of a loaded version. Its failures start at 0, so that their increase can be seen."""
        self._retired.pop((model, str(version)), None)
        for reason in ENGINE_FAILURES:
            self.engine_failures.labels(model, version, reason)

    def retire_version(self, model: str, version: int) -> None:
        """Forget an unloaded version in the long run. The series of the last MAX_RETIRED ones are kept."""
        self._retired[model, str(version)] = None
        self._retired.move_to_end((model, str(version)))
        if len(self._retired) > MAX_RETIRED:
            (name, oldest), _ = self._retired.popitem(last=False)
            self.statistics.pop((name, oldest), None)
            for instrument in self._by_version:
                instrument.remove_by_labels({"model": name, "version": oldest})

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return self._add(Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry), labels)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self.registry)
        return self._add(histogram, labels)

    def _add(self, instrument: T, labels: tuple[str, ...]) -> T:
        """Remember an instrument with a version, so that unloaded versions can be forgotten."""
        if "version" in labels:
            self._by_version.append(instrument)
        return instrument

    def _seconds(self, name: str, text: str, labels: tuple[str, ...]) -> Histogram:
        return self._histogram(f"{name}_seconds", text, labels, SECONDS)
