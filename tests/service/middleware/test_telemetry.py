"""Access lines and Server-Timing. tests/e2e/test_sight.py tests metrics and traces with a real server."""

from __future__ import annotations

import logging

import pytest
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.service.app_client import detect, png, serving
from tests.service.conftest import flat

RED = png(flat(255))


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "service.access"]


def test_request_is_logged_with_its_model(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service.access")
    assert detect(client, RED).status_code == 200
    (line,) = lines(caplog)
    fields = line.__dict__["fields"]
    assert (line.levelname, line.getMessage()) == ("INFO", "POST /detect")
    assert (fields["status"], fields["model"], fields["version"]) == (200, "toy", "1")
    assert set(fields) == {"status", "took_ms", "model", "version", "received", "sent"}


def test_fastapi_does_not_measure_a_second_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its spans would have the query, which may hold secrets."""
    for module, name in (("trace", "tracer"), ("metrics", "meter"), ("_logs", "logger")):
        monkeypatch.delattr(f"opentelemetry.{module}.get_{name}_provider")
    assert detect(client, RED).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_probes_are_logged_at_debug(client: TestClient, caplog: pytest.LogCaptureFixture, path: str) -> None:
    caplog.set_level(logging.DEBUG, "service.access")
    client.get(path)
    assert [line.levelname for line in lines(caplog)] == ["DEBUG"]


def test_refusal_has_its_reason_and_no_query(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service.access")
    detect(client, RED, model="unknown", score="0.5")
    (line,) = lines(caplog)
    assert line.__dict__["fields"]["problem"] == "no-such-model"
    assert "score" not in line.getMessage()


def test_refusals_by_overload_are_logged_once_per_second(
    toy_package: Package, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "service.access")
    with serving(Repository(toy_package.path.parents[1]), rate_per_address=0.001, rate_burst=1) as client:
        monkeypatch.setattr("service.telemetry.logs.time.monotonic", lambda: 1e9)
        statuses = [client.get("/models").status_code for _ in range(10)]
    assert statuses == [200] + [429] * 9
    assert [line.__dict__["fields"]["status"] for line in lines(caplog)] == [200, 429]


def test_server_timing_of_a_detection(client: TestClient) -> None:
    stages = [entry.split(";dur=") for entry in detect(client, RED).headers["server-timing"].split(", ")]
    assert [name for name, _ in stages] == ["receive", "decode", "queue", "infer", "total"]
    assert all(float(duration) >= 0 for _, duration in stages)
    assert float(stages[-1][1]) >= float(stages[3][1])
