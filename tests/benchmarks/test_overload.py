"""The share of the capacity in a slice of overload. tests/e2e/test_overload.py runs the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.open_loop import Answer, Load
from benchmarks.overload import Bench, _goodput


def test_goodput_counts_answers_between_the_ramp_and_the_end() -> None:
    load = Load(0, b"", 1)
    load.started = 100.0
    load.answers += [Answer(200, 0.1, 100.0 + time) for time in (0.5, 1.0, 5.0, 9.9, 10.0)]
    load.answers.append(Answer(503, 0.1, 105.0))
    assert _goodput(load, 10.0) == pytest.approx(3 / 9)


@pytest.mark.parametrize(("seconds", "slices"), [(60.0, 6), (3.0, 1), (25.0, 2)])
def test_phases_come_in_slices_of_about_ten_seconds(seconds: float, slices: int) -> None:
    assert Bench(0, "/", Path(__file__).read_bytes(), seconds).slices == slices
