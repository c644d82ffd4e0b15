"""The thread budget: all cores only for runs without overlap."""

from __future__ import annotations

from model_zoo.runtime.thread_budget import ThreadBudget


def test_overlapping_runs_share_the_cores() -> None:
    budget = ThreadBudget()
    with budget.run() as first, budget.run() as second:
        assert (first, second) == (True, False)


def test_first_run_after_an_overlap_gets_one_core() -> None:
    budget = ThreadBudget()
    with budget.run(), budget.run():
        pass
    grants = []
    for _ in range(2):
        with budget.run() as all_cores:
            grants.append(all_cores)
    assert grants == [False, True]


def test_failed_run_is_no_longer_in_flight() -> None:
    budget = ThreadBudget()
    try:
        with budget.run():
            raise ValueError
    except ValueError:
        pass
    with budget.run() as all_cores:
        assert all_cores
