"""Faults of engines, disks and processes under load, as `python -m benchmarks.faults` makes them."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from benchmarks.faults import SCENARIOS, Row, measure

# Faults during which the server cannot answer everything, each with the answers besides 200.
REFUSING = {"engine_lost_twice": {"503"}}
QUICK = ("hung_engine", "sigterm")


def check(name: str) -> Row:
    """Check that no request is lost, and that only the faults above are noticed by clients."""
    row = measure(name)
    if row.observed.startswith("skipped"):
        pytest.skip(row.observed)
    assert row.lost == 0, asdict(row)
    assert {count.partition(":")[0] for count in row.answers.split()} == {"200"} | REFUSING.get(name, set()), asdict(
        row
    )
    return row


def test_hung_engine_is_replaced_and_its_image_answered() -> None:
    row = check("hung_engine")
    assert "no answer within 1 s" in row.observed
    assert row.ready == "ready"


def test_sigterm_answers_64_requests_in_flight() -> None:
    row = check("sigterm")
    assert (row.answers, row.observed) == ("200:64", "shutdown complete, exit code 0")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - {*QUICK, "idle"}))
def test_fault_is_reported_and_no_request_is_lost(name: str) -> None:
    row = check(name)
    assert row.observed
    assert row.ready == "ready" or name in (*REFUSING, "killed"), asdict(row)


@pytest.mark.slow
def test_lost_engine_makes_the_server_not_ready() -> None:
    assert "no new engine can be opened" in check("engine_lost_twice").ready
