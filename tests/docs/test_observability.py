"""docs/observability.md, compared with the metrics of an application and with the alert rules."""

from __future__ import annotations

import re

import yaml
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.telemetry.metrics import PREFIX
from tests.conftest import ROOT
from tests.docs.documents import table
from tests.repositories import publish, repository, toy
from tests.service.app_client import serving

__all__ = ["publish", "repository", "toy"]
DOCUMENT = "docs/observability.md"


def families(client: TestClient) -> set[str]:
    registry = client.app.state.metrics.registry  # type: ignore[attr-defined]
    counters = {m.name: f"{m.name}_total" for m in registry.collect() if m.type == "counter"}
    return {counters.get(m.name, m.name) for m in registry.collect() if m.name.startswith(PREFIX)}


def test_all_metrics_are_documented(toy: Package) -> None:
    documented = {name for row in table(DOCUMENT, "Metrics") for name in re.findall(rf"{PREFIX}_\w+", row[0])}
    with serving(Repository(toy.path.parents[1]), model_memory=1 << 30) as client:
        assert families(client) == documented


def test_all_alerts_are_documented() -> None:
    rules = yaml.safe_load((ROOT / "docker/observability/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    documented = {(row[0].strip("`"), row[1]) for row in table(DOCUMENT, "Prometheus and Grafana")}
    assert documented == {(rule["alert"], rule["labels"]["severity"]) for rule in rules}
