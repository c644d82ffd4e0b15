"""Choice of CPU threads: by measuring, without an effect on the run."""

from __future__ import annotations

import pytest
import torch

from tests.training.tiny_models import CPU, TOY, toy_detector
from training.loop import threads
from training.loop.threads import TrialSteps, choose_threads, given_threads


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({1: 0.05, 4: 0.1, 8: 0.2}, 1), ({1: 0.5, 4: 0.1, 8: 0.3}, 4), ({1: 0.5, 4: 0.2, 8: 0.1}, 8)],
)
def test_fastest_number_of_threads_is_chosen(seconds: dict[int, float], chosen: int) -> None:
    choice = choose_threads(seconds.__getitem__, 8)
    assert choice.threads == chosen
    assert choice.speeds == pytest.approx({n: 1 / s for n, s in seconds.items()})


def test_message_has_both_speeds_and_the_option() -> None:
    text = str(choose_threads({1: 1 / 17.9, 2: 1 / 4.5}.__getitem__, 2))
    assert text.startswith("threads: 1 (measured images/s: 17.9 with 1, 4.5 with 2)")
    assert "--threads N" in text


def test_numbers_of_threads_take_turns_and_a_single_outlier_does_not_count() -> None:
    order: list[int] = []
    times = {1: iter([0.1, 1.0, 0.1]), 2: iter([0.3, 0.3, 0.3]), 4: iter([0.2, 0.2, 0.2])}

    def measure(count: int) -> float:
        order.append(count)
        return next(times[count])

    threads_before = torch.get_num_threads()
    assert choose_threads(measure, 4).threads == 1
    assert order[:6] == [1, 2, 4, 1, 2, 4]
    assert torch.get_num_threads() == threads_before


def test_long_steps_are_measured_once() -> None:
    order: list[int] = []
    choose_threads(lambda count: order.append(count) or 60.0, 4)
    assert order == [1, 2, 4]


def test_trial_changes_neither_weights_nor_random_state_nor_threads() -> None:
    detector = toy_detector()
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    torch.manual_seed(5)
    trial = TrialSteps(detector, TOY, CPU, batch=2)
    assert trial.seconds_per_image(1) > 0
    drawn, count = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert count == torch.get_num_threads()
    assert all(torch.equal(value, detector.state_dict()[key]) for key, value in before.items())
    assert all(parameter.grad is None for parameter in detector.parameters())


@pytest.mark.parametrize(
    ("requested", "variable", "given"), [(3, "", 3), (3, "1", 3), (None, "1", 1), (None, "", None)]
)
def test_option_and_environment_are_respected(
    monkeypatch: pytest.MonkeyPatch, requested: int | None, variable: str, given: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert given_threads(requested) == given  # tests run with one thread
