"""`lineage tune` prints, remembers and writes the fastest configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lineage.cli.main import main
from lineage.cli.tune import with_golden
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime import select, trials
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.choice import Configuration, Trial
from model_zoo.runtime.golden import has_golden
from tests.repositories import publish, repository, toy

__all__ = ["publish", "repository", "toy"]


def measure(_: Package, __: EngineOptions, tried: Sequence[Configuration], **___: object) -> list[Trial]:
    figures = {"cpu": (60.0, 20.0, 90.0, 1.0), "openvino": (30.0, 50.0, 250.0, 0.95)}
    return [Trial(*each, *figures[each.provider], "differs" if each.compute == "fp32" else None) for each in tried]


@pytest.fixture
def tuned(toy: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A model on a machine whose measurements are given."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trials, "measure", measure)
    monkeypatch.setattr(select, "_choices", {})
    monkeypatch.setattr(select, "has_openvino", lambda: True)
    monkeypatch.setattr(select, "computes_bf16", lambda: True)
    return toy


def tune(package: Package, *options: str) -> int:
    return main(["tune", package.name, "--repository", str(package.path.parents[1]), *options])


def test_table_and_settings_are_printed(tuned: Package, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(tuned) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["provider", "compute", "ms", "alone", "images/s", "MB", "agreement"]
    assert lines[2].split() == ["openvino", "fp32", "-", "-", "-", "95.0%", "cannot", "be", "used"]
    assert lines[3].split() == ["openvino", "bf16", "30.0", "50.0", "250", "95.0%", "chosen"]
    assert lines[-2:] == ["openvino fp32: differs", "settings: --provider openvino --compute bf16"]


def test_choice_is_remembered_for_servers(tuned: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(tuned)
    monkeypatch.setenv("LINEAGE_MEASURE", "1")
    monkeypatch.setattr(select, "has_golden", lambda _: True)
    monkeypatch.setattr(select, "_choices", {})
    assert select.choose(tuned, EngineOptions()).configuration == ("openvino", "bf16")


def test_settings_are_added_to_those_of_the_model(tuned: Package) -> None:
    file = tuned.path.parent / "service.json"
    file.write_text('{"score": 0.4, "provider": "cpu"}')
    assert tune(tuned, "--write") == 0
    assert json.loads(file.read_text()) == {"score": 0.4, "provider": "openvino", "compute": "bf16"}


def test_plot_is_written(tuned: Package, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert tune(tuned, "--plot", str(tmp_path / "tune.png")) == 0
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "1"], "--rounds: expected at least 3; got 1"),
        (["--shapes", "round"], "--shapes"),
        (["--images", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_reported(
    tuned: Package, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(tuned, *options) == 2
    assert message in capsys.readouterr().err


def test_settings_of_a_file_are_refused(tuned: Package, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(tuned.model_path), "--write"]) == 2
    assert "--write: expected a model of a repository" in capsys.readouterr().err


def test_model_without_golden_images_gets_synthetic_ones(toy: Package) -> None:
    assert not has_golden(toy)
    with with_golden(toy, None) as measured:
        assert has_golden(measured)
        assert measured.model_path.read_bytes() == toy.model_path.read_bytes()
        with with_golden(measured, None) as same:
            assert same is measured


def test_images_without_detections_are_refused(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.golden.write_golden", lambda *_: {})
    with pytest.raises(LineageError, match="detects too little on these images"), with_golden(toy, None):
        pass
    assert Repository(toy.path.parents[1]).names() == ["toy"]
