"""Full runs on a small dataset: their files, exact resume after a signal, and errors on resume."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.weights import store
from tests.conftest import ROOT
from tests.training.run.lock_holder import hold
from tests.training.run.short_runs import OPTIONS, build_config, load_run
from tests.training.write_data import write_data
from training.config import TrainConfig
from training.evaluate.evaluation import evaluate_detector
from training.loop.threads import VARIABLES
from training.run import checkpoint, session
from training.run.progress import RunLogger
from training.run.run_folder import read_config
from training.run.train import train
from training.run.trainer import EARLY_STOPPED, FINISHED, INTERRUPTED, OUT_OF_TIME


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "toy", train=16)


def resume(folder: Path, **options: Any) -> str:
    """Resume a run and return its stop reason."""
    return train(TrainConfig(resume=folder, device="cpu", **options)).stop_reason


@pytest.fixture(scope="module")
def messages() -> list[str]:
    """Messages of the finished run."""
    return []


@pytest.fixture(scope="module")
def finished(data: Path, messages: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run of three epochs of four batches."""
    result = train(build_config(data, tmp_path_factory.mktemp("runs"), epochs=3), messages.append)
    assert result.stop_reason == FINISHED
    assert result.metrics is not None
    return result.folder


def test_run_writes_its_files(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"config.json", "best.safetensors", "last.safetensors", "checkpoint.safetensors", "report.html"} <= names
    assert {"results.csv", "metrics.jsonl", "batches"} <= names
    assert store.load(finished / "best.safetensors").class_names == ("square", "bar")


@pytest.mark.parametrize(("nominal", "warned"), [(64, True), (4, False)])
def test_run_of_few_optimizer_steps_is_warned_of(nominal: int, warned: bool, data: Path, tmp_path: Path) -> None:
    """Four batches of four images make one step of 64 images, or four of 4."""
    messages: list[str] = []
    config = replace(build_config(data, tmp_path, epochs=1, nominal_batch=nominal), model="yolov5-test")
    train(config, messages.append)
    advice = "about 1 optimizer step, one per 64 images, and learns little. Use more epochs, or a step for each batch"
    assert any(advice in message and "--nominal-batch 4" in message for message in messages) == warned


def test_epochs_are_evaluated_in_the_precision_of_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precisions = []

    def observed(*values: Any, precision: torch.dtype, **options: Any) -> Any:
        precisions.append(precision)
        return evaluate_detector(*values, precision=precision, **options)

    monkeypatch.setattr(session, "evaluate_detector", observed)
    train(build_config(data, tmp_path, epochs=1, precision="bf16"))
    assert precisions == [torch.bfloat16, torch.float32], "the best weights are evaluated in float32"


def test_config_file_describes_the_run(finished: Path) -> None:
    document = json.loads((finished / "config.json").read_text(encoding="utf-8"))
    config, recipe = document["config"], document["recipe"]
    assert (config["model"], config["seed"], config["batch"], config["image_size"]) == ("yolox-test", 0, 4, [64, 64])
    assert config["precision"] in ("fp32", "bf16")
    assert (recipe["epochs"], recipe["optimizer"]["name"], recipe["source"][:6]) == (3, "sgd", "YOLOX ")
    assert document["data"]["class_names"] == ["square", "bar"]
    assert {name: split["images"] for name, split in document["data"]["splits"].items()} == {"train": 16, "val": 4}
    assert all(len(split["sha256"]) == 64 for split in document["data"]["splits"].values())
    assert document["world_size"] == 1
    assert document["versions"]["torch"] == torch.__version__


def test_messages_describe_the_run_and_the_next_command(finished: Path, messages: list[str]) -> None:
    text = "\n".join(messages)
    assert "yolox-test on cpu" in text
    assert f"run: {finished}" in text
    assert "finished, after 3 of 3 epochs" in text
    assert messages[-1] == f"export with: lineage export {finished} --name {finished.name}"


def test_measured_threads_are_logged_stored_and_used(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("training.run.session.available_threads", lambda: 2)
    monkeypatch.setattr("training.loop.threads.TrialSteps.seconds_per_image", lambda _, threads: 0.5 / threads)
    messages: list[str] = []
    used: list[int] = []
    monkeypatch.setattr("training.run.train._run", lambda trainer: used.append(torch.get_num_threads()) or INTERRUPTED)
    before = torch.get_num_threads()
    folder = train(build_config(data, tmp_path, epochs=1), messages.append).folder
    assert any(message.startswith("threads: 2 (measured images/s: 2.0 with 1, 4.0 with 2)") for message in messages)
    assert read_config(folder)[0].threads == 2
    train(build_config(data, tmp_path, epochs=1, threads=3), messages.append)
    assert (used, torch.get_num_threads()) == ([2, 3], before)
    assert sum(message.startswith("threads: ") for message in messages) == 1


def assert_same_runs(first: Path, second: Path) -> None:
    (first_tensors, first_state), (second_tensors, second_state) = load_run(first), load_run(second)
    assert first_state == second_state
    assert first_tensors.keys() == second_tensors.keys()
    assert [key for key, value in first_tensors.items() if not torch.equal(value, second_tensors[key])] == []
    for name in ("best.safetensors", "last.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def train_until_signal(number: int, batch: int, data: Path, runs: Path) -> tuple[int, list[str]]:
    """Train in a process that gets a signal in a given batch. Return its exit code and output lines."""
    flags = ["--epochs", "3", "--workers", "1", "--save-minutes", "1e-9", "--data", str(data), "--runs", str(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    script = [sys.executable, "-m", "tests.training.killed_run", "0", str(int(number)), str(batch)]
    command = [*script, "train", *OPTIONS, *flags]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.slow
def test_killed_run_resumes_exactly(data: Path, finished: Path, tmp_path: Path) -> None:
    """Killed in the third batch of the second epoch. No loader process survives, or the command would not return."""
    code, _ = train_until_signal(signal.SIGKILL, 7, data, tmp_path)
    folder = tmp_path / "yolox-test"
    state = checkpoint.read(folder / "checkpoint.safetensors")[1]
    assert (code, state.epoch, state.batch) == (-signal.SIGKILL, 1, 2)
    assert resume(folder, workers=0) == FINISHED
    assert_same_runs(finished, folder)


def test_sigterm_saves_a_checkpoint_and_prints_the_resume_command(data: Path, tmp_path: Path) -> None:
    """`test_trainer.py` compares interrupted runs."""
    code, lines = train_until_signal(signal.SIGTERM, 2, data, tmp_path)
    folder = tmp_path / "yolox-test"
    assert code == 130
    assert lines[-1] == f"resume with: lineage train --resume {folder}"
    assert checkpoint.read(folder / "checkpoint.safetensors")[1].batch == 2


def test_finished_run_cannot_be_resumed(finished: Path) -> None:
    with pytest.raises(LineageError, match="a finished run cannot be resumed; all of its epochs are done") as caught:
        resume(finished)
    assert f"--weights {finished}" in str(caught.value)


def test_epochs_cannot_change_on_resume(finished: Path) -> None:
    with pytest.raises(LineageError, match="--epochs cannot change on resume"):
        resume(finished, epochs=9)


@pytest.mark.slow
def test_early_stopped_run_resumes_with_more_patience(data: Path, tmp_path: Path) -> None:
    config = build_config(data, tmp_path, epochs=5, patience=1, lr=1e-12, close_mosaic=5)  # learns nothing
    messages: list[str] = []
    result = train(config, messages.append)
    assert result.stop_reason == EARLY_STOPPED
    assert any("early stopping: no improvement for 1 epoch" in message for message in messages)
    assert checkpoint.read(result.folder / "checkpoint.safetensors")[1].epoch == 2
    with pytest.raises(LineageError, match="early stopping ended the run after epoch 2; the best was epoch 1"):
        resume(result.folder)
    assert resume(result.folder, patience=9) == FINISHED
    assert checkpoint.read(result.folder / "checkpoint.safetensors")[1].epoch == 5


@pytest.mark.slow
def test_resume_accepts_moved_data_but_not_changed_data(data: Path, tmp_path: Path) -> None:
    result = train(build_config(data, tmp_path, epochs=2, hours=1e-9))
    assert result.stop_reason == OUT_OF_TIME
    changed = write_data(tmp_path / "changed", train=15)
    with pytest.raises(LineageError, match="split 'train' has changed since the run started"):
        resume(result.folder, data=changed)
    moved = write_data(tmp_path / "moved", train=16)
    assert resume(result.folder, data=moved, hours=1.0) == FINISHED


@pytest.mark.slow
def test_parents_of_the_weights_are_recorded_and_survive_a_resume(data: Path, finished: Path, tmp_path: Path) -> None:
    result = train(build_config(data, tmp_path, epochs=2, hours=1e-9, weights=finished))
    assert (result.stop_reason, resume(result.folder, hours=1.0)) == (OUT_OF_TIME, FINISHED)
    for name in ("best.safetensors", "last.safetensors"):
        origin = store.load(result.folder / name).weights
        assert [(p.name, p.license) for p in origin.parents or ()] == [("yolox-test/best.safetensors", "NOASSERTION")]
    assert store.load(finished / "best.safetensors").weights.parents == ()


def test_folder_without_a_valid_config_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=r"expected the folder of a run; there is no config\.json"):
        resume(tmp_path)
    (tmp_path / "config.json").write_text('{"config": {"model": 3}}')
    with pytest.raises(LineageError, match="expected the config of a run, but the file is damaged"):
        resume(tmp_path)


def test_batch_of_mostly_repeated_images_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="--batch: expected at most 128 for 16 training images; got 99,999"):
        train(replace(build_config(data, tmp_path), batch=99_999))
    assert not list(tmp_path.iterdir())


def test_run_that_another_process_trains_is_not_resumed(finished: Path) -> None:
    with hold(finished) as process, pytest.raises(LineageError, match=f"in use by process {process.pid}"):
        resume(finished)


@pytest.mark.parametrize("broken", ["training.report.run.write_report", "training.run.train.store.load"])
def test_failed_report_does_not_cost_the_result(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    messages: list[str] = []

    def fail(*_: object) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr(broken, fail)
    result = train(build_config(data, tmp_path, epochs=1), messages.append)
    assert result.stop_reason == FINISHED
    assert {"best.safetensors", "last.safetensors", "metrics.jsonl"} <= {p.name for p in result.folder.iterdir()}
    [warning] = [message for message in messages if "AttributeError: a bug" in message]
    assert warning.startswith("warning: ")
    assert warning.endswith(f"To repeat it: lineage evaluate {result.folder} --data {data} --report")
    assert messages[-1].startswith("export with: ")


def test_undrawable_batch_does_not_stop_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.run.trainer.encode_jpeg", lambda _: 1 / 0)
    assert train(build_config(data, tmp_path, epochs=1)).stop_reason == FINISHED
    assert "warning: drawing 1.jpg of batches failed (ZeroDivisionError" in capsys.readouterr().err


def test_failed_write_leaves_the_last_checkpoint(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the size of files stands for a full disk: it breaks the write of the weights in the second epoch."""
    end_epoch, limits = RunLogger.end_epoch, resource.getrlimit(resource.RLIMIT_FSIZE)

    def end_epoch_and_limit(self: RunLogger, *arguments: Any) -> None:
        end_epoch(self, *arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))

    monkeypatch.setattr(RunLogger, "end_epoch", end_epoch_and_limit)
    folder, stopped = tmp_path / "yolox-test", r"training stopped after epoch 2: .*\.safetensors: File too large"
    try:
        with pytest.raises(LineageError, match=rf"{stopped}\. Free some space .* lineage train --resume {folder}$"):
            train(build_config(data, tmp_path, epochs=3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        monkeypatch.undo()
    assert not [path for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    assert checkpoint.read(folder / "checkpoint.safetensors")[1].epoch == 1
    assert resume(folder, workers=0) == FINISHED


def test_run_starts_from_the_weights_of_another(finished: Path, data: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    result = train(build_config(data, tmp_path, epochs=1, weights=finished, freeze="backbone"), messages.append)
    assert re.search(r"best\.safetensors: loaded (\d+) of \1 tensors", "\n".join(messages))
    source, trained = (store.load(folder / "best.safetensors") for folder in (finished, result.folder))
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(value, trained.backbone.state_dict()[key]), key


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_two_ranks_train_under_torchrun(data: Path, tmp_path: Path) -> None:
    """Real loss and real loader. The learning rate is tiny, so that rounding does not add up."""
    train(build_config(data, tmp_path, epochs=2, precision="fp32", lr=1e-12, name="one"))
    flags = ["--epochs", "2", "--precision", "fp32", "--lr", "1e-12", "--runs", str(tmp_path), "--data", str(data)]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "lineage", "train"]
    command = [sys.executable, *torchrun, *OPTIONS, *flags, "--name", "two"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/2") == 1
    for one, two in zip(read_rows(tmp_path / "one"), read_rows(tmp_path / "two"), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)
