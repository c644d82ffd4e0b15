"""Instruments and their labels."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from service.telemetry import metrics as module
from service.telemetry.metrics import Metrics


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_series_of_versions_unloaded_long_ago_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RETIRED", 2)
    metrics = Metrics()
    for version in (1, 2, 3, 4):
        metrics.start_version("toy", version)
        metrics.statistics.of("toy", version)
        metrics.detections.labels("toy", version, "cat").inc()
        metrics.shadow_iou.labels("toy", version).observe(0.5)
        if version != 4:
            metrics.retire_version("toy", version)
    kept = [version for version in (1, 2, 3, 4) if f'model="toy",version="{version}"' in text(metrics)]
    assert kept == [2, 3, 4]
    assert [*metrics.statistics] == [("toy", str(version)) for version in kept]


def test_version_that_is_loaded_again_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RETIRED", 1)
    metrics = Metrics()
    metrics.start_version("toy", 1)
    metrics.retire_version("toy", 1)
    metrics.start_version("toy", 1)
    metrics.retire_version("toy", 2)
    metrics.retire_version("toy", 3)
    assert 'engine_failures_total{model="toy",reason="hung",version="1"} 0.0' in text(metrics)


def test_applications_have_their_own_values() -> None:
    first, second = Metrics(), Metrics()
    first.refusals.labels("memory-full").inc()
    assert "memory-full" not in text(second)
