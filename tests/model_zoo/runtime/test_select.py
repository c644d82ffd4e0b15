"""The fastest configuration that agrees is chosen, once, and remembered on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.runtime import select, sessions
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.choice import DEFAULT, Choice, Configuration, Trial
from model_zoo.runtime.select import choose, configurations, pick, remember
from tests.tiny_onnx import toy_card

OPENVINO = Configuration("openvino", "fp32")
BF16 = Configuration("openvino", "bf16")
CUDA = Configuration("auto", "fp32")


class Machine:
    """Stands in for the measurement, and counts its calls."""

    def __init__(self) -> None:
        self.speeds = {DEFAULT: 10.0, OPENVINO: 20.0, BF16: 30.0}
        self.calls = 0

    def measure(self, _: Package, __: EngineOptions, tried: Sequence[Configuration], **___: float) -> list[Trial]:
        self.calls += 1
        return [Trial(*each, images_per_second=self.speeds[each]) for each in tried]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with OpenVINO on a CPU that computes bfloat16, whatever this one is."""
    machine = Machine()
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LINEAGE_MEASURE", "1")
    monkeypatch.setattr(select, "_choices", {})
    monkeypatch.setattr(select, "measure", machine.measure)
    monkeypatch.setattr(select, "has_golden", lambda _: True)
    monkeypatch.setattr(select, "has_openvino", lambda: True)
    monkeypatch.setattr(select, "computes_bf16", lambda: True)
    monkeypatch.setattr(sessions, "is_available", lambda _: False)
    return machine


def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "_choices", {})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [DEFAULT, BF16]),
        ({"compute": "fp32"}, [DEFAULT, OPENVINO]),
        ({"compute": "bf16"}, [BF16]),
        ({"provider": "cpu"}, [DEFAULT]),
        ({"provider": "openvino"}, [OPENVINO]),
        ({"provider": "openvino", "compute": "bf16"}, [BF16]),
        ({"runtime": "tensorrt"}, [CUDA]),
    ],
)
def test_options_limit_the_configurations(machine: Machine, given: dict[str, str], expected: list[str]) -> None:
    assert configurations(toy_card(), EngineOptions(**given)) == expected


def test_machine_limits_the_configurations(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configurations(toy_card(), EngineOptions(), thorough=True) == [DEFAULT, OPENVINO, BF16]
    assert configurations(toy_card(precision="int8"), EngineOptions()) == [DEFAULT, OPENVINO]
    monkeypatch.setattr(select, "computes_bf16", lambda: False)
    assert configurations(toy_card(), EngineOptions()) == [DEFAULT, OPENVINO]
    monkeypatch.setattr(select, "has_openvino", lambda: False)
    assert configurations(toy_card(), EngineOptions()) == [DEFAULT]
    monkeypatch.setattr(sessions, "is_available", lambda provider: provider == "cuda")
    assert configurations(toy_card(), EngineOptions()) == [CUDA]


def test_bf16_on_another_provider_is_refused(machine: Machine) -> None:
    with pytest.raises(LineageError, match="compute bf16: expected provider openvino or auto; got cpu"):
        configurations(toy_card(), EngineOptions(provider="cpu", compute="bf16"))


@pytest.mark.parametrize(
    ("speeds", "problems", "expected"),
    [
        ((10, 20, 30), {}, BF16),
        ((10, 20, 30), {BF16: "detections differ"}, OPENVINO),
        ((10, 10.9, 8), {}, DEFAULT),
        ((10, 11.1, 8), {}, OPENVINO),
        ((0, 5, 4), {DEFAULT: "cannot be loaded"}, OPENVINO),
        ((10, 0, 0), {OPENVINO: "no CPU", BF16: "no CPU"}, DEFAULT),
        ((0, 0, 0), {DEFAULT: "a", OPENVINO: "b", BF16: "c"}, DEFAULT),
    ],
)
def test_fastest_that_agrees_is_picked(
    speeds: tuple[float, ...], problems: dict[Configuration, str], expected: Configuration
) -> None:
    configurations = (DEFAULT, OPENVINO, BF16)
    trials = [
        Trial(*c, images_per_second=s, problem=problems.get(c)) for c, s in zip(configurations, speeds, strict=True)
    ]
    choice = pick(trials)
    assert choice.configuration == expected
    assert choice.trials == tuple(trials)


def test_choice_is_measured_once_and_remembered(
    toy: Package, machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = choose(toy, EngineOptions())
    assert first.configuration == BF16
    assert "chose openvino bf16: 30.0 images/s" in caplog.text
    restart(monkeypatch)
    assert choose(toy, EngineOptions(workers=1, threads=1)) == first  # as a shadow
    assert "remembered openvino bf16" in caplog.text
    assert machine.calls == 1


@pytest.mark.parametrize("changed", ["options", "package", "machine"])
def test_other_conditions_are_measured_anew(
    toy: Package, machine: Machine, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(toy, EngineOptions())
    if changed == "machine":
        monkeypatch.setattr(select, "describe_machine", lambda: {"cpu": "another"})
    package = replace(toy, files=toy.files[1:]) if changed == "package" else toy
    choose(package, EngineOptions(shapes="square" if changed == "options" else "auto"))
    assert machine.calls == 2


@pytest.mark.parametrize("content", ["", "{}", "no JSON", '{"provider": "magic", "compute": "fp32", "trials": []}'])
def test_damaged_memory_is_measured_anew(
    toy: Package, machine: Machine, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = choose(toy, EngineOptions())
    [file] = (tmp_path / "cache" / "choices").iterdir()
    file.write_text(content)
    restart(monkeypatch)
    assert choose(toy, EngineOptions()) == expected
    assert machine.calls == 2
    assert json.loads(file.read_text())["compute"] == "bf16"


def test_choice_holds_in_a_process_that_cannot_write(toy: Package, machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file instead of a folder")
    assert choose(toy, EngineOptions()) == choose(toy, EngineOptions())
    assert machine.calls == 1


def test_choice_of_another_measurement_is_used(toy: Package, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = pick([Trial(*DEFAULT, images_per_second=9.0), Trial(*OPENVINO, images_per_second=12.0)])
    remember(toy, EngineOptions(), choice)
    restart(monkeypatch)
    assert choose(toy, EngineOptions()) == choice
    assert machine.calls == 0


@pytest.mark.parametrize("reason", ["no golden images", "switched off", "one configuration", "failure"])
def test_default_runs_if_nothing_is_measured(
    toy: Package, machine: Machine, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> list[Trial]:
        raise OSError("no memory")

    if reason == "no golden images":
        monkeypatch.setattr(select, "has_golden", lambda _: False)
    elif reason == "switched off":
        monkeypatch.setenv("LINEAGE_MEASURE", "0")
    elif reason == "one configuration":
        monkeypatch.setattr(select, "has_openvino", lambda: False)
    else:
        monkeypatch.setattr(select, "measure", fail)
    assert choose(toy, EngineOptions()) == Choice(*DEFAULT)
    assert machine.calls == 0


def test_description_has_the_figures_of_all() -> None:
    measured = Trial(*DEFAULT, 60.0, 20.0, 90, 1.0), Trial(*BF16, 30.0, 50.0, 200, 0.925)
    assert pick([*measured, Trial(*OPENVINO, problem="no CPU")]).describe() == (
        "openvino bf16: 50.0 images/s, 30.0 ms if alone, 92.5% of the golden detections agree; "
        "cpu fp32: 20.0 images/s, openvino fp32: no CPU"
    )
    assert Choice("cpu").describe() == "cpu fp32"
