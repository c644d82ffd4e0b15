"""`lineage train`: output and exit codes. tests/training/run/test_train.py covers the runs themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from tests.training.write_data import write_data
from training.config import TrainConfig
from training.run import train as train_module
from training.run.train import TrainResult
from training.run.trainer import FINISHED, INTERRUPTED, OUT_OF_TIME


def test_train_prints_one_line_per_epoch_and_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, runs = write_data(tmp_path / "data"), tmp_path / "runs"
    options = ["--model", "yolox-test", "--image-size", "64", "--batch", "4", "--device", "cpu", "--workers", "0"]
    assert main(["train", *options, "--data", str(data), "--runs", str(runs), "--epochs", "2", "--name", "named"]) == 0
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert f"run: {runs / 'named'}" in out
    assert f"lineage export {runs / 'named'} --name named" in out
    assert "epoch" not in err


@pytest.mark.parametrize(("stop_reason", "code"), [(FINISHED, 0), (OUT_OF_TIME, 0), (INTERRUPTED, 130)])
def test_exit_code_shows_an_interruption(stop_reason: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[TrainConfig] = []

    def train(config: TrainConfig, log: object) -> TrainResult:
        configs.append(config)
        return TrainResult(Path("runs/a"), stop_reason, None)

    monkeypatch.setattr(train_module, "train", train)
    assert main(["train", "--resume", "runs/a", "--hours", "1.5"]) == code
    assert configs == [TrainConfig(resume=Path("runs/a"), hours=1.5)]
