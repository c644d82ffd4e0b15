"""The training benchmark: parts of an epoch, turns of its subjects, and its file of results."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import training
from benchmarks.training import BARE, WHOLE, Stopwatch, Subject, Workload, alternate, report

WORKLOAD = Workload("bccd", "yolov5n", 320, 16, batches=10, precision="fp32", threads=None)
MEASURED = {
    BARE: [{"total": 8.0}, {"total": 9.0}, {"total": 8.0}],
    WHOLE: [{"total": 10.0, "forward": 4.0}, {"total": 10.0, "forward": 5.0}, {"total": 8.0, "forward": 4.0}],
}


class Scripted(Subject):
    """A subject without a process."""

    def __init__(self, turns: list[str], name: str) -> None:
        self.turns, self.name = turns, name

    def round(self) -> dict[str, float]:
        self.turns.append(self.name)
        return {"total": float(len(self.turns))}


def test_subjects_take_turns_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []
    measured = alternate({name: Scripted(turns, name) for name in "ab"}, rounds=2)
    assert turns == list("ababab")
    assert measured == {"a": [{"total": 3.0}, {"total": 5.0}], "b": [{"total": 4.0}, {"total": 6.0}]}


def test_inner_parts_count_for_the_outer_one() -> None:
    class Work:
        def outer(self) -> int:
            return self.inner() + 1

        def inner(self) -> int:
            return 1

    watch = Stopwatch()
    watch.time(Work, "outer", "evaluation")
    watch.time(Work, "inner", "forward")
    assert Work().outer() == 2
    assert list(watch.seconds) == ["evaluation"]
    Work().inner()
    assert set(watch.seconds) == {"evaluation", "forward"}


def test_results_of_other_instructions_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "RESULTS", tmp_path / "training.csv")
    for instructions in ("native", "avx2", "native"):
        report(MEASURED, WORKLOAD, instructions)
    with (tmp_path / "training.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["instructions"] for row in rows] == ["avx2"] * 5 + ["native"] * 5
    values = {(row["subject"], row["measure"]): row["value"] for row in rows}
    assert values[BARE, "images_per_second"] == "20.0"
    assert values[WHOLE, "ratio_to_bare_loop"] == "0.900"
    assert values[WHOLE, "share: forward"] == "0.500"
