"""Configurations are measured in processes of their own, and failures stay there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from model_zoo.contract.package import Package
from model_zoo.runtime import trials
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.choice import DEFAULT, Configuration, Trial
from model_zoo.runtime.trials import Runner, measure

pytest.importorskip("onnx")


def test_configuration_is_measured(golden_toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def count() -> None:
        steps.append(1)

    tensorrt = Configuration("tensorrt", "fp32")
    trial, failed = measure(golden_toy, EngineOptions(), [DEFAULT, tensorrt], rounds=9, seconds=0, progress=count)
    assert (trial.configuration, trial.problem, trial.agreement) == (DEFAULT, None, 1.0)
    assert trial.lone_ms > 0
    assert trial.images_per_second > 0
    assert "provider tensorrt" in str(failed.problem)
    assert failed.images_per_second == 0
    assert len(steps) == 2 + trials.MIN_ROUNDS


def test_other_detections_are_a_problem(golden_toy: Package) -> None:
    expected = golden_toy.path / "golden" / "expected.json"
    expected.write_text(expected.read_text().replace(", 0]", ", 1]"))
    with Runner(golden_toy, EngineOptions(), DEFAULT) as runner:
        runner.open()
        runner.run_round()
        trial = runner.trial()
    assert "golden image" in str(trial.problem)
    assert trial.agreement < 1
    assert trial.images_per_second == 0


@pytest.mark.parametrize(("function", "reason"), [(os.abort, "its process failed"), (os.getpid, None)])
def test_crash_of_a_runtime_is_a_problem(
    golden_toy: Package, function: Callable[[], object], reason: str | None
) -> None:
    with Runner(golden_toy, EngineOptions(), DEFAULT) as runner:
        runner._call(function)
        assert (runner._trial.problem or "").startswith(reason or "")
        assert bool(runner._trial.problem) == bool(reason)


def test_hanging_runtime_is_a_problem(golden_toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "STEP_SECONDS", 0.01)
    with Runner(golden_toy, EngineOptions(), DEFAULT) as runner:
        runner.open()
        assert "TimeoutError" in str(runner.trial().problem)
    assert replace(runner.trial(), problem=None) == Trial(*DEFAULT)
