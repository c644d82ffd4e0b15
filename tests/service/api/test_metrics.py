"""GET /metrics."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.testclient import TestClient


def test_text_format_is_the_default(client: TestClient) -> None:
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in parse_text(response.text)}
    assert {"lineage_requests", "lineage_ready", "process_cpu_seconds", "python_gc_collections"} <= names


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "application/openmetrics-text; version=1.0.0, */*"])
def test_open_metrics_on_request(client: TestClient, accept: str) -> None:
    response = client.get("/metrics", headers={"Accept": accept})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert list(parse_open_metrics(response.text))
