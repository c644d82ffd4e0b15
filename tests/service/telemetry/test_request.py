"""Records of requests."""

from __future__ import annotations

import asyncio

import pytest

from service.telemetry.request import CURRENT_REQUEST, Batch, RequestRecord, current_request


def test_stages_follow_one_another_and_end_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.request.time.monotonic", lambda: 10.0)
    record, batch = RequestRecord(), Batch(7, 2)
    record.add({"decode": 1.0, "infer": 2.0}, batch)
    assert [(s.name, s.started, s.ended, s.batch) for s in record.stages] == [
        ("decode", 7.0, 8.0, None),
        ("infer", 8.0, 10.0, batch),
    ]


def test_slowest_image_counts() -> None:
    record = RequestRecord()
    record.add({"decode": 0.5, "queue": 2.0})
    record.add({"decode": 1.0, "queue": 0.25})
    assert record.slowest() == pytest.approx({"decode": 1.0, "queue": 2.0})


async def run_task() -> RequestRecord:
    CURRENT_REQUEST.set(record := RequestRecord())
    await asyncio.create_task(add_in_task())
    return record


async def add_in_task() -> None:
    current_request().model = "toy"


def test_tasks_of_a_request_share_its_record() -> None:
    assert asyncio.run(run_task()).model == "toy"


def test_record_outside_of_requests_is_discarded() -> None:
    current_request().model = "toy"
    assert current_request().model == ""
