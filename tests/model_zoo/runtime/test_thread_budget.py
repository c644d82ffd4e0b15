"""The thread budget: all cores only for runs without overlap, and only while that is faster."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from model_zoo.runtime.thread_budget import ThreadBudget, ThreadChoice

IDLE, BUSY = (50.0, 30.0), (99.0, 170.0)  # milliseconds of a run on one thread and on all cores, as once measured
STEADY, NOISY = 0.0, 0.15  # of the logarithm of a time


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


def times(
    choice: ThreadChoice, load: tuple[float, float], runs: int = 400, noise: float = STEADY, seed: int = 0
) -> Sequence[float]:
    """Return the times of runs under a load, relative to those on one thread."""
    draw, ratios = random.Random(seed), []
    for _ in range(runs):
        use_all = choice.choose()
        milliseconds = load[use_all] * draw.lognormvariate(-(noise**2) / 2, noise)
        choice.record(use_all, milliseconds)
        ratios.append(milliseconds / load[False])
    return ratios


def mean(ratios: Sequence[float]) -> float:
    return sum(ratios) / len(ratios)


@pytest.mark.parametrize("noise", [STEADY, NOISY])
@pytest.mark.parametrize("seed", range(5))
def test_lone_runs_use_all_cores_of_an_idle_machine(noise: float, seed: int) -> None:
    assert mean(times(ThreadChoice(), IDLE, noise=noise, seed=seed)) < 0.65


@pytest.mark.parametrize("load", [BUSY, (50.0, 51.0), (50.0, 60.0), (100.0, 150.0), (100.0, 250.0), (50.0, 600.0)])
@pytest.mark.parametrize("seed", range(5))
def test_lone_runs_are_never_much_slower_than_one_thread(load: tuple[float, float], seed: int) -> None:
    choice = ThreadChoice()
    times(choice, load, 1)  # which uses all cores
    assert mean(times(choice, load, noise=NOISY, seed=seed)) < 1.05


def test_all_cores_are_given_up_within_few_runs_of_a_new_load() -> None:
    choice = ThreadChoice()
    times(choice, IDLE, 100)
    assert mean(times(choice, BUSY, 8)[3:]) == 1.0


def test_all_cores_are_used_again_when_a_load_ends() -> None:
    choice = ThreadChoice()
    times(choice, BUSY, 100)
    times(choice, IDLE, 40)
    assert mean(times(choice, IDLE, 100)) < 0.65


def test_loads_may_change_again_and_again() -> None:
    choice = ThreadChoice()
    for seed in range(5):
        assert mean(times(choice, IDLE, 300, NOISY, seed)) < 0.75
        assert mean(times(choice, BUSY, 300, NOISY, seed)) < 1.07


def test_single_slow_run_changes_nothing() -> None:
    choice = ThreadChoice()
    times(choice, IDLE, 5)
    choice.record(use_all=True, seconds=1000.0)
    assert choice.choose()
