"""Metrics of one application in the Prometheus data model, with names and units by the rules of OpenMetrics.

Counters and histograms are recorded where the work happens. Current values, such as queue lengths, are read at the
scrape by collectors that are added to the registry.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

PREFIX: Final = "lineage"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
IMAGES: Final = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The instruments of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests", ("protocol", "model", "version", "code"))
        self.request_seconds = self._seconds("request", "From the head of a request to its answer", ("protocol",))
        self.stage_seconds = self._seconds("stage", "Stages of an image: decode, queue, infer", ("model", "stage"))
        self.batch_images = self._histogram("batch_images", "Images per inference", ("model",), IMAGES)
        self.detections = self._counter("detections", "Detections", ("model", "version", "label"))
        self.refusals = self._counter("refusals", "Requests refused because a limit is reached", ("reason",))
        self.model_loads = self._counter("model_loads", "Loads of models", ("model", "version", "result"))
        self.model_load_seconds = self._seconds("model_load", "Verify, load and warm up", ("model",))
        self.model_unloads = self._counter("model_unloads", "Unloads of models", ("model", "version", "reason"))
        self.engine_failures = self._counter("engine_failures", "Engines replaced", ("model", "version", "reason"))
        self.shadow_images = self._counter("shadow_images", "Images of shadow traffic", ("model", "version", "result"))
        self.shadow_detections = self._counter(
            "shadow_detections", "Detections by difference to the primary", ("model", "version", "label", "difference")
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _seconds(self, name: str, text: str, labels: tuple[str, ...]) -> Histogram:
        return self._histogram(f"{name}_seconds", text, labels, SECONDS)
