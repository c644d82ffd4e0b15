"""`lineage compare`: several generations trained, published and measured by one command that can be called again."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lineage.cli.main import main
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Repository
from tests.training.write_data import write_data
from training.run import compare
from training.run.compare import Budget
from training.run.run_folder import BEST, read_config

BUDGET = Budget(epochs=2, batch="4", image_size=(64,), seed=3, training=("--optimizer", "adamw", "--lr", "0.001"))
TRAINING = "--training=--workers 0 --optimizer adamw --lr 0.001"
OPTIONS = ("--epochs", "1", "--batch", "4", "--image-size", "64", TRAINING)


def call(data: Path, output: Path, models: str) -> int:
    return main(["compare", "--data", str(data), "--models", models, *OPTIONS, "--output", str(output)])


@pytest.mark.slow
def test_generations_are_trained_published_and_measured_once(tmp_path: Path) -> None:
    data, output = write_data(tmp_path / "toy"), tmp_path / "comparison"
    models = "yolov5-test,yolox-test"
    assert call(data, output, models) == 0
    rows = list(csv.DictReader((output / "comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["model"] for row in rows] == models.split(",")
    assert sorted(Repository(output / "models").names()) == models.split(",")
    assert read_config(output / "runs" / "yolov5-test")[0].optimizer == "adamw"
    assert (output / "comparison.png").stat().st_size > 1000

    done = {path: path.stat().st_mtime_ns for name in models.split(",") for path in [output / "runs" / name / BEST]}
    assert call(data, output, f"{models},{tmp_path / 'absent.onnx'}") == 1  # one cannot be compared, and is named
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert "absent.onnx" in (output / "comparison.html").read_text(encoding="utf-8")


def test_a_comparison_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(write_data(tmp_path / "toy"), tmp_path / "comparison", str(tmp_path / "absent.onnx")) == 2
    assert "no model could be trained or evaluated" in capsys.readouterr().err


def test_what_all_are_given_reaches_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    codes = iter([0, 0, 2, 130])

    def note(command: list[str], check: bool) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=next(codes))

    monkeypatch.setattr(subprocess, "run", note)
    run = tmp_path / "runs" / "yolox-test"
    compare._train("yolox-test", tmp_path / "toy", BUDGET, run)
    assert commands[0][:4] == [sys.executable, "-m", "lineage", "train"]
    assert commands[0][-6:] == ["--image-size", "64", *BUDGET.training]
    run.mkdir(parents=True)
    (run / "checkpoint.safetensors").touch()
    compare._train("yolox-test", tmp_path / "toy", BUDGET, run)
    assert commands[1][4:] == ["--resume", str(run)]
    with pytest.raises(LineageError, match="yolox-test: its training ended with exit code 2"):
        compare._train("yolox-test", tmp_path / "toy", BUDGET, run)
    with pytest.raises(KeyboardInterrupt):
        compare._train("yolox-test", tmp_path / "toy", BUDGET, run)
