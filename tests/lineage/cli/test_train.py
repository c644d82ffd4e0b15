"""`lineage train` on a small dataset: what a run leaves behind, and that nothing stops it from being gone on with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lineage.cli.main import main
from model_zoo.contract.errors import LineageError
from model_zoo.weights import store
from tests.conftest import ROOT
from tests.training.write_data import write_data
from training.run import checkpoint
from training.run.checkpoint import TrainingState

OPTIONS = ["--model", "yolox-test", "--image-size", "64", "--batch", "4", "--device", "cpu"]
TIMES = ("seconds", "images_per_second", "memory_gib")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "toy", train=16)


def train(data: Path, runs: Path, *more: str) -> int:
    return main(["train", *OPTIONS, "--data", str(data), "--runs", str(runs), "--workers", "0", *more])


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs of four batches."""
    runs = tmp_path_factory.mktemp("runs")
    assert train(data, runs, "--epochs", "3") == 0
    return runs / "yolox-test"


def test_a_run_leaves_its_files_behind(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"config.json", "best.safetensors", "last.safetensors", "checkpoint.safetensors", "report.html"} <= names
    assert {"results.csv", "metrics.jsonl", "batches"} <= names
    assert store.load(finished / "best.safetensors").class_names == ("square", "bar")


def test_the_config_tells_all_that_the_run_was_made_of(finished: Path, data: Path) -> None:
    document = json.loads((finished / "config.json").read_text(encoding="utf-8"))
    config, recipe = document["config"], document["recipe"]
    assert (config["model"], config["seed"], config["batch"], config["image_size"]) == ("yolox-test", 0, 4, [64, 64])
    assert config["precision"] in ("fp32", "bf16")
    assert (recipe["epochs"], recipe["optimizer"]["name"], recipe["source"][:6]) == (3, "sgd", "YOLOX ")
    assert document["data"]["class_names"] == ["square", "bar"]
    assert {name: split["images"] for name, split in document["data"]["splits"].items()} == {"train": 16, "val": 4}
    assert all(len(split["sha256"]) == 64 for split in document["data"]["splits"].values())
    assert document["versions"]["torch"] == torch.__version__


def test_a_terminal_is_told_one_line_an_epoch_and_what_to_do_next(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, tmp_path, "--epochs", "2", "--name", "mine")
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert f"run: {tmp_path / 'mine'}" in out
    assert f"lineage export {tmp_path / 'mine'} --name mine" in out
    assert "epoch" not in err


def run_state(folder: Path) -> tuple[dict[str, torch.Tensor], TrainingState]:
    tensors, state = checkpoint.read(folder / "checkpoint.safetensors")
    for row in state.history:
        for name in TIMES:
            del row[name]
    state.seconds = 0.0
    return dict(tensors), state


def assert_same_runs(first: Path, second: Path) -> None:
    (tensors, state), (others, other) = run_state(first), run_state(second)
    assert state == other
    assert tensors.keys() == others.keys()
    assert [key for key, value in tensors.items() if not torch.equal(value, others[key])] == []
    for name in ("best.safetensors", "last.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def stopped(number: int, batch: int, data: Path, runs: Path) -> tuple[int, list[str]]:
    """Train until the process gets a signal in a batch; its exit code, and what it told. It saves after every step."""
    flags = ["--epochs", "3", "--workers", "1", "--save-minutes", "1e-9", "--data", str(data), "--runs", str(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "tests.training.killed_run",
        str(int(number)),
        str(batch),
        "train",
        *OPTIONS,
        *flags,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.splitlines()


def test_a_run_that_was_killed_goes_on_bit_by_bit(data: Path, finished: Path, tmp_path: Path) -> None:
    """In the third batch of the second epoch; nobody is left who holds its output, not even the process that loads."""
    code, _ = stopped(signal.SIGKILL, 7, data, tmp_path)
    state = checkpoint.read(tmp_path / "yolox-test" / "checkpoint.safetensors")[1]
    assert (code, state.epoch, state.batch) == (-signal.SIGKILL, 1, 2)
    assert main(["train", "--resume", str(tmp_path / "yolox-test"), "--workers", "0", "--device", "cpu"]) == 0
    assert_same_runs(finished, tmp_path / "yolox-test")


def test_a_run_that_is_asked_to_stop_saves_and_says_how_to_go_on(data: Path, finished: Path, tmp_path: Path) -> None:
    code, told = stopped(signal.SIGTERM, 2, data, tmp_path)
    folder = tmp_path / "yolox-test"
    assert code == 130
    assert told[-1] == f"go on with: lineage train --resume {folder}"
    assert checkpoint.read(folder / "checkpoint.safetensors")[1].batch == 2
    assert main(["train", "--resume", str(folder), "--workers", "0", "--device", "cpu"]) == 0
    assert_same_runs(finished, folder)


def refused(*arguments: str) -> str:
    with pytest.raises(LineageError) as caught:
        main(["train", *arguments])
    return str(caught.value)


@pytest.fixture(autouse=True)
def _show_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_DEBUG", "1")


def test_a_finished_run_is_not_gone_on_with(finished: Path) -> None:
    text = refused("--resume", str(finished))
    assert "it is finished, all 3 epochs" in text
    assert f"--weights {finished}" in text


def test_more_epochs_would_be_another_run(finished: Path) -> None:
    assert "--epochs cannot change on resume" in refused("--resume", str(finished), "--epochs", "9")


def test_a_run_that_got_no_better_says_so(data: Path, tmp_path: Path) -> None:
    flags = ("--epochs", "5", "--patience", "1", "--lr", "1e-12", "--close-mosaic", "5")  # it learns nothing
    assert train(data, tmp_path, *flags) == 0
    folder = tmp_path / "yolox-test"
    ended = checkpoint.read(folder / "checkpoint.safetensors")[1]
    assert (ended.stop_reason, ended.epoch) == ("no better", 2)
    assert "none was better than epoch 1" in refused("--resume", str(folder))
    assert main(["train", "--resume", str(folder), "--patience", "9", "--device", "cpu"]) == 0
    assert checkpoint.read(folder / "checkpoint.safetensors")[1].epoch == 5


def test_other_data_is_refused(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, "--epochs", "2", "--hours", "1e-9")
    folder = tmp_path / "yolox-test"
    other = write_data(tmp_path / "other", train=15)
    assert "split 'train' is not what the run began with" in refused("--resume", str(folder), "--data", str(other))
    moved = write_data(tmp_path / "moved", train=16)
    assert main(["train", "--resume", str(folder), "--data", str(moved), "--hours", "1"]) == 0


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    assert "there is no config.json" in refused("--resume", str(tmp_path))
    (tmp_path / "config.json").write_text('{"config": {"model": 3}}')
    assert "it is damaged" in refused("--resume", str(tmp_path))


def test_a_run_starts_from_another(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, tmp_path, "--epochs", "1", "--weights", str(finished), "--freeze", "backbone")
    assert re.search(r"best\.safetensors: (\d+) of \1 tensors are taken over", capsys.readouterr().out)
    given, learned = (store.load(folder / "best.safetensors") for folder in (finished, tmp_path / "yolox-test"))
    for key, value in given.backbone.state_dict().items():
        assert torch.equal(value, learned.backbone.state_dict()[key]), key


def losses(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_two_processes_train_by_torchrun(data: Path, tmp_path: Path) -> None:
    """The real loss and the real loader; they evaluate, and end together. They hardly learn, so that nothing drifts."""
    still = ["--epochs", "2", "--precision", "fp32", "--lr", "1e-12", "--runs", str(tmp_path), "--data", str(data)]
    main(["train", *OPTIONS, *still, "--name", "one"])
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "lineage", "train"]
    command = [sys.executable, *torchrun, *OPTIONS, *still, "--name", "two"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/2") == 1
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
