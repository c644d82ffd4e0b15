"""The queries of the project's dashboard and alert rules, and a client of a Prometheus server to run them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from httpx2 import Client, ConnectError

from tests.conftest import ROOT

DEPLOYED: Final = ROOT / "docker" / "observability"
_VARIABLES: Final = {"$__rate_interval": "30s", "$__range": "5m", "$instance": ".*", "$model": ".*"}


def panel_query(title: str) -> str:
    """Return the first query of a panel of the dashboard."""
    panels = json.loads((DEPLOYED / "grafana" / "dashboards" / "lineage.json").read_text(encoding="utf-8"))["panels"]
    return str(next(panel["targets"][0]["expr"] for panel in panels if panel["title"] == title))


def all_queries() -> list[str]:
    """Return the queries of the dashboard, and those of the alert rules without their thresholds."""
    import yaml

    panels = json.loads((DEPLOYED / "grafana" / "dashboards" / "lineage.json").read_text(encoding="utf-8"))["panels"]
    rules = yaml.safe_load((DEPLOYED / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    dashboard = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return dashboard + [re.sub(r"\s*(==|>)\s*[0-9.]+$", "", rule["expr"].strip()) for rule in rules]


def write_configuration(folder: Path, target: str, appended: str = "") -> Path:
    """Write the project's configuration for another target, with `appended` at the end, and return its file."""
    config = (DEPLOYED / "prometheus.yml").read_text(encoding="utf-8").replace("cpu:8000", target)
    file = folder / "prometheus.yml"
    file.write_text(config.replace("scrape_interval: 5s", "scrape_interval: 500ms") + appended, encoding="utf-8")
    return file


class PrometheusClient:
    """Runs queries on the Prometheus server of an address."""

    def __init__(self, address: str) -> None:
        self._client = Client(base_url=f"http://{address}/api/v1")

    def close(self) -> None:
        self._client.close()

    def is_ready(self) -> bool:
        try:
            return self._client.get("/query", params={"query": "up"}).status_code == 200
        except ConnectError:
            return False

    def query(self, expression: str) -> list[Any]:
        """Return the series of an expression."""
        for name, value in _VARIABLES.items():
            expression = expression.replace(name, value)
        answer = self._client.get("/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return list(answer.json()["data"]["result"])

    def is_up(self) -> bool:
        """Return True if the last scrape of the server succeeded."""
        return [series["value"][1] for series in self.query('up{job="lineage"}')] == ["1"]
