"""The engine that takes no CPU, and the figures of the ceiling."""

from __future__ import annotations

import pytest

from benchmarks.ceiling import FORM, Used, _service_row, form_request, raw_request
from benchmarks.null_server import DETECTIONS, open_null_engine
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.service.app_client import detect, png, serving
from tests.service.conftest import flat


def test_engine_without_work_answers_requests() -> None:
    with serving(BUNDLED_REPOSITORY, open_null_engine, verify_on_load=False) as client:
        (result,) = detect(client, png(flat(1))).json()["results"]
    assert len(result["detections"]) == DETECTIONS


def test_requests_declare_their_length() -> None:
    for request, body in ((raw_request("m", b"file"), b"file"), (form_request("m", b"file"), b"file".join(FORM))):
        head, _, sent = request.partition(b"\r\n\r\n")
        assert (sent, head.split(b"\r\n")[-1]) == (body, b"Content-Length: %d" % len(body))


def test_rows_are_medians_per_request() -> None:
    used = [Used(100, 1.0, cpu, cpu / 2, 0.01) for cpu in (0.2, 0.3, 9.0)]
    row = _service_row("raw", used, 0.001)
    assert (row["cpu_ms"], row["event_loop_ms"], row["rest_ms"]) == ("3.00", "1.50", "2.00")
    assert float(str(row["most_per_process"])) == pytest.approx(667)
