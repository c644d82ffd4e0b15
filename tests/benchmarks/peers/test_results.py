"""Results: rows survive their file, medians are of each server and scenario, and ratios are to the best peer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import results
from benchmarks.peers.results import append, best_peer_capacity, markdown, medians, read, report
from benchmarks.peers.scenarios import Row

ROW = Row("tuned FastAPI", "1.0", "1280x720 x8", 20, 400, 500, 90, 200, 190, 100, 0, 0.5, 0.1, 0, 1.5, "a CPU")


def named(subject: str, per_second: float) -> Row:
    return replace(ROW, subject=subject, per_second=per_second)


def test_rows_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "rounds.csv"
    assert read(path) == []
    append(path, ROW)
    append(path, replace(ROW, p99_ms=float("inf")))
    assert read(path) == [ROW, replace(ROW, p99_ms=float("inf"))]


def test_medians_are_of_each_server_and_scenario() -> None:
    rows = [named("tuned FastAPI", speed) for speed in (20, 99, 21)] + [named("Triton", 5)]
    assert [(row.subject, row.per_second) for row in medians(rows)] == [("tuned FastAPI", 21), ("Triton", 5)]


def test_the_capacity_is_that_of_the_best_peer() -> None:
    rows = [named("tuned FastAPI", 20), named("Triton", 22), named("lineage", 40)]
    rows.append(replace(named("Triton", 23), scenario="1280x720 x32"))
    assert best_peer_capacity(rows, "1280x720") == 23
    with pytest.raises(SystemExit, match="measure the peers with 640x480 first"):
        best_peer_capacity(rows, "640x480")


def test_servers_of_this_project_have_ratios_to_the_best_peer() -> None:
    table = markdown([named("lineage", 40), named("tuned FastAPI", 20), replace(named("Triton", 16), cpu_ms=45)])
    ours, fast, light = table.splitlines()[2:]
    assert "| 40.0 (2.00x) | 90.0 (2.00x) |" in ours
    assert "| 20.0 | 90.0 |" in fast
    assert "| 16.0 | 45.0 |" in light


def test_a_report_keeps_the_medians_of_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    other = replace(ROW, cpu="another CPU")
    append(tmp_path / "peers.csv", other)
    append(tmp_path / "peers.csv", named("tuned FastAPI", 1))  # of this machine, measured before
    report([named("tuned FastAPI", 20), named("lineage", 40)])
    assert read(tmp_path / "peers.csv") == [other, named("tuned FastAPI", 20), named("lineage", 40)]
    assert (tmp_path / "peers.png").is_file()
