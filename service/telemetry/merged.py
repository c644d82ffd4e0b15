"""Metrics of several processes as those of one server.

Counters and histograms are added. Of gauges, those that count something are added, others take the highest value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

# A family: name, help, type, unit and samples, each with name, labels and value.
Family = dict[str, Any]
COUNTERS: Final = ("counter", "histogram", "summary")
ADDED_GAUGES: Final = frozenset(
    {
        "lineage_connections",
        "lineage_connections_limit",
        "lineage_decode_queue_images",
        "lineage_live_connections",
        "lineage_queue_images",
        "lineage_request_body_bytes",
        "lineage_request_body_limit_bytes",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }
)
LOWEST_GAUGES: Final = frozenset({"lineage_ready", "process_start_time_seconds"})


class Merged(Collector):
    """Metrics to encode."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        for family in self._families:
            metric = Metric(family["name"], family["help"], family["type"], family["unit"])
            for name, labels, value in family["samples"]:
                metric.add_sample(name, labels, value)
            yield metric


def snapshot(collector: Collector) -> list[Family]:
    """Return all metrics as values that JSON has."""
    return [
        {
            "name": metric.name,
            "help": metric.documentation,
            "type": metric.type,
            "unit": metric.unit,
            "samples": [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        }
        for metric in collector.collect()
    ]


def totals(families: Iterable[Family]) -> list[Family]:
    """Return what still counts after a process has ended."""
    return [family for family in families if family["type"] in COUNTERS]


def merge(snapshots: Iterable[Iterable[Family]]) -> list[Family]:
    """Return the metrics of all processes as one."""
    merged: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (family for families in snapshots for family in families):
        name = family["name"]
        merged.setdefault(name, family)
        found = values.setdefault(name, {})
        for sample, labels, value in family["samples"]:
            series = sample, tuple(labels.items())
            found[series] = _combine(family, sample, found[series], value) if series in found else value
    return [
        {**family, "samples": [[sample, dict(labels), value] for (sample, labels), value in values[name].items()]}
        for name, family in merged.items()
    ]


def _combine(family: Family, sample: str, one: float, other: float) -> float:
    if sample.endswith("_created") or family["name"] in LOWEST_GAUGES:
        return min(one, other)
    added = family["type"] in COUNTERS or family["name"] in ADDED_GAUGES
    return one + other if added else max(one, other)
