"""The soak: wrong answers, growing memory and silent models fail it, and a short run passes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import soak
from benchmarks.soak import Sample, growth, megabytes_a_minute, report
from benchmarks.soak_traffic import Traffic, agrees

FOUND = [{"box": [1.0, 2.0, 30.0, 40.0], "score": 0.5, "class_id": 1, "label": "car"}]
STEADY = [Sample(float(i), 200_000_000, 20, 9) for i in range(600)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"score": 0.5004}, True),
        ({"score": 0.6}, False),
        ({"class_id": 2}, False),
        ({"box": [1.0, 2.0, 30.0, 41.0]}, False),
    ],
)
def test_answers_are_compared(change: dict[str, Any], expected: bool) -> None:
    assert agrees(FOUND, [FOUND[0] | change]) is expected
    assert not agrees(FOUND, [])


def test_slope_of_the_memory_ignores_the_warm_up() -> None:
    growing = [replace(s, memory=s.memory + int(s.seconds * 50_000)) for s in STEADY]
    assert megabytes_a_minute(STEADY) == pytest.approx(0, abs=1e-6)
    assert megabytes_a_minute(growing) == pytest.approx(3.0)
    assert megabytes_a_minute([replace(s, memory=0) if s.seconds < 100 else s for s in STEADY]) == pytest.approx(
        0, abs=1e-6
    )


def test_slope_of_the_memory_ignores_loads_and_finds_a_leak_beneath_them() -> None:
    loading = [replace(s, memory=s.memory + 10**8 * (s.seconds % 20 > 5) * int(s.seconds)) for s in STEADY]
    assert megabytes_a_minute(loading) == pytest.approx(0, abs=1e-6)
    leaking = [replace(s, memory=s.memory + int(s.seconds * 50_000)) for s in loading]
    assert megabytes_a_minute(leaking) == pytest.approx(3.0, rel=0.05)


def test_growth_ignores_requests_in_flight_and_finds_a_leak_beneath_them() -> None:
    busy = [replace(s, descriptors=s.descriptors + 100 * (s.seconds % 7 > 1)) for s in STEADY]
    assert growth(busy, "descriptors") == 0
    leaking = [replace(s, descriptors=s.descriptors + int(s.seconds) // 10) for s in busy]
    assert growth(leaking, "descriptors") == pytest.approx(30, abs=4)


def run_report(samples: list[Sample], **counts: int) -> int:
    good = {"ok": 100, "cars@1": 50, "swaps": 9, "hung up": 2, "hostile": 1}
    traffic = Traffic(0, {}, [], {}, counts=Counter(good | {k.replace("_", " "): v for k, v in counts.items()}))
    return report(traffic, samples, {"cars": None}, seconds=600)  # type: ignore[dict-item]


def test_verdict_depends_on_every_criterion() -> None:
    assert run_report(STEADY) == 0
    assert run_report(STEADY, failed=1) == 1
    assert run_report(STEADY, swaps=0) == 1
    assert run_report(STEADY, hung_up=0) == 1
    assert run_report([replace(s, memory=s.memory + int(s.seconds * 50_000)) for s in STEADY]) == 1
    assert run_report([replace(s, threads=9 + int(s.seconds / 10)) for s in STEADY]) == 1
    assert run_report([replace(s, descriptors=9 + int(s.seconds / 10)) for s in STEADY]) == 1


@pytest.mark.slow
def test_short_soak_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(seconds=20, swap_seconds=3, output=tmp_path) == 0, capsys.readouterr().out
    header, names, *rows = (tmp_path / "soak.csv").read_text().splitlines()
    assert "benchmarks.soak" in header
    assert names == "seconds,memory_mb,descriptors,threads"
    assert len(rows) >= 5
    assert (tmp_path / "soak.png").is_file()
