"""Metrics of several processes."""

from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from service.telemetry.merged import Family, Merged, merge, snapshot, totals


def process(requests: int, ready: int, **models: int) -> list[Family]:
    """Return the metrics of a process."""
    registry = CollectorRegistry()
    counter = Counter("lineage_requests", "Requests", ("model",), registry=registry)
    for model, count in models.items():
        counter.labels(model).inc(count)
    histogram = Histogram("lineage_request_seconds", "Seconds", buckets=(0.1, 1.0), registry=registry)
    for _ in range(requests):
        histogram.observe(0.5)
    for name, value in (("connections", 3), ("ready", ready), ("engine_workers", 2)):
        Gauge(f"lineage_{name}", name, registry=registry).set(value)
    return list(json.loads(json.dumps(snapshot(registry))))


def values(families: list[Family]) -> dict[str, float]:
    samples = [sample for family in families for sample in family["samples"] if not sample[0].endswith("_created")]
    return {name + "".join(f"/{label}" for label in labels.values()): value for name, labels, value in samples}


def test_counters_and_histograms_are_added() -> None:
    found = values(merge([process(2, 1, cars=5), process(3, 1, cars=1, ships=2)]))
    assert (found["lineage_requests_total/cars"], found["lineage_requests_total/ships"]) == (6, 2)
    assert found["lineage_request_seconds_count"] == found["lineage_request_seconds_bucket/1.0"] == 5
    assert found["lineage_request_seconds_sum"] == pytest.approx(2.5)


def test_gauges_are_added_only_where_they_count() -> None:
    found = values(merge([process(0, 1), process(0, 0)]))
    assert (found["lineage_connections"], found["lineage_engine_workers"], found["lineage_ready"]) == (6, 2, 0)


def test_totals_of_an_ended_process_do_not_fall() -> None:
    found = values(merge([totals(process(2, 1, cars=5)), process(0, 1)]))
    assert (found["lineage_requests_total/cars"], found["lineage_request_seconds_count"]) == (5, 2)
    assert found["lineage_connections"] == 3


def test_both_formats_can_be_parsed() -> None:
    merged = Merged(merge([process(2, 1, cars=5), process(3, 1, ships=2)]))
    assert {family.name for family in parse_text(generate_latest(merged).decode())} >= {"lineage_requests"}
    assert list(parse_open_metrics(generate_open_metrics(merged).decode()))
