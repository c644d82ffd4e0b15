"""Trace ids of requests. tests/e2e/test_sight.py tests the spans with a real receiver."""

from __future__ import annotations

import pytest

from service.settings import Settings, SettingsError
from service.telemetry import tracing
from service.telemetry.tracing import trace_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("traceparent", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01-x"])
def test_valid_traceparent_has_a_trace_id(traceparent: str) -> None:
    assert trace_id_of(traceparent) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE,
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01 status=200",
    ],
)
def test_other_traceparents_are_ignored(traceparent: str) -> None:
    assert trace_id_of(traceparent) == ""


def test_tracing_without_the_extra_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "NEEDED", ("opentelemetry.missing", "no_such_package"))
    with pytest.raises(SettingsError, match=r"--tracing: expected the extra otel; install it with: pip install"):
        Settings(tracing=True)
