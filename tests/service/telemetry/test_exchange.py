"""Records of requests, whatever the protocol. The middleware and gRPC test them with real requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from service.telemetry.exchange import Exchange, Outcome
from service.telemetry.logs import trace_id
from service.telemetry.metrics import Metrics
from service.telemetry.request import CURRENT_REQUEST, current_request

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def own_context() -> Iterator[None]:
    request, trace = CURRENT_REQUEST.set(None), trace_id.set("")
    yield
    CURRENT_REQUEST.reset(request)
    trace_id.reset(trace)


def test_request_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service.access")
    metrics, exchange = Metrics(), Exchange("mine", None, "span", {}, "")
    current_request().model, current_request().version, current_request().problem = "toy", "1", "bad-request"
    exchange.received, exchange.sent, exchange.client = 5, 7, "user"
    exchange.finish(metrics, Outcome(400, "/Method", "INVALID"))
    labels = {"protocol": "mine", "model": "toy", "version": "1", "code": "INVALID"}
    assert metrics.registry.get_sample_value("lineage_requests_total", labels) == 1
    assert metrics.registry.get_sample_value("lineage_refusals_total", {"reason": "bad-request"}) == 1
    assert metrics.registry.get_sample_value("lineage_request_seconds_count", {"protocol": "mine"}) == 1
    [line] = caplog.records
    fields = line.__dict__["fields"]
    assert fields.pop("took_ms") >= 0
    assert line.getMessage() == "/Method"
    assert fields == {
        "status": "INVALID", "model": "toy", "version": "1", "client": "user", "received": 5, "sent": 7,
        "problem": "bad-request",
    }  # fmt: skip


def test_trace_of_the_client_is_that_of_the_log() -> None:
    Exchange("mine", None, "span", {}, f"00-{TRACE}-b7ad6b7169203331-01")
    assert trace_id.get() == TRACE
    Exchange("mine", None, "span", {}, "")
    assert trace_id.get() == ""


@pytest.mark.parametrize(
    ("status", "is_probe", "level"),
    [(200, False, "INFO"), (429, False, "INFO"), (504, False, "WARNING"), (500, True, "WARNING"), (200, True, None)],
)
def test_level_of_the_log_line(
    status: int, is_probe: bool, level: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service.access")
    Exchange("mine", None, "span", {}, "").finish(Metrics(), Outcome(status, "/Method", is_probe=is_probe))
    assert [record.levelname for record in caplog.records] == ([level] if level else [])
