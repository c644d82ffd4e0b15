"""Trainer: interruption and exact resume, logs, saved weights, early stopping and the time limit."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo.detector import Detector
from model_zoo.weights import store
from tests.training.tiny_models import (
    CONFIG,
    LOADER,
    TOY,
    ToyCriterion,
    ToyLoader,
    assert_same,
    constant_metrics,
    state_of,
    toy_detector,
    toy_loop,
    toy_trainer,
)
from training.config import TrainConfig
from training.evaluate.coco import Metrics
from training.losses.criterion import Losses
from training.recipe import Recipe
from training.run import checkpoint
from training.run.checkpoint import TrainingState
from training.run.trainer import (
    EARLY_STOPPED,
    FINISHED,
    INTERRUPTED,
    OUT_OF_TIME,
    Trainer,
    record_signals,
    stop_reason,
)

TIMES = ("seconds", "images_per_second", "memory_gib")


class SignalCriterion(ToyCriterion):
    """Sends a signal to this process in a given batch."""

    def __init__(self, batch: int, number: int) -> None:
        super().__init__()
        self.batches_left, self.number = batch, number

    def forward(self, maps, targets, context) -> Losses:
        self.batches_left -= 1
        if self.batches_left == 0:
            os.kill(os.getpid(), self.number)
        return super().forward(maps, targets, context)


def rows(trainer: Trainer) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in trainer.state.history]


def resume(folder: Path, recipe: Recipe = TOY, config: TrainConfig = CONFIG) -> Trainer:
    loop = toy_loop(recipe, detector=toy_detector())
    trainer = toy_trainer(folder, recipe, config, loop)
    tensors, state = checkpoint.read(folder / "checkpoint.safetensors")
    checkpoint.restore(loop, tensors, state)
    return Trainer(loop, LOADER, trainer.evaluate, config, folder, state)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run of three epochs that finished without interruption."""
    trainer = toy_trainer(tmp_path_factory.mktemp("runs") / "uninterrupted")
    assert trainer.run() == FINISHED
    return trainer


@pytest.mark.parametrize(("batch", "number"), [(1, signal.SIGTERM), (5, signal.SIGINT), (8, signal.SIGTERM)], ids=str)
def test_interrupted_run_resumes_exactly(batch: int, number: int, uninterrupted: Trainer, tmp_path: Path) -> None:
    """Interrupted in the first batch, between two optimizer steps, and in the last batch of an epoch."""
    interrupted = replace(TOY, criterion=lambda _: SignalCriterion(batch, number))
    assert toy_trainer(tmp_path / "run", interrupted).run() == INTERRUPTED
    resumed = resume(tmp_path / "run")
    assert (resumed.state.epoch, resumed.state.batch) == {1: (0, 1), 5: (1, 2), 8: (1, 4)}[batch]
    assert resumed.run() == FINISHED

    assert_same(state_of(uninterrupted.loop), state_of(resumed.loop))
    assert rows(uninterrupted) == rows(resumed)
    expected, actual = uninterrupted.state, resumed.state
    assert (expected.best_fitness, expected.best_epoch) == (actual.best_fitness, actual.best_epoch)
    for name in ("best.safetensors", "last.safetensors"):
        assert (uninterrupted.folder / name).read_bytes() == (resumed.folder / name).read_bytes()


def test_signal_handlers_are_restored(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    toy_trainer(tmp_path / "run", replace(TOY, epochs=1)).run()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    """Python sets handlers in the main thread only. Ray Train trains in another one."""

    def record() -> object:
        with record_signals() as received:
            return received, signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor() as threads:
        assert threads.submit(record).result() == ([], signal.getsignal(signal.SIGTERM))


def test_every_epoch_has_one_row_in_every_log(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    toy_trainer(folder, replace(TOY, criterion=lambda _: SignalCriterion(6, signal.SIGTERM))).run()
    resume(folder).run()
    with (folder / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert {"loss", "loss/level0", "ap", "ap50", "lr", "images_per_second", "seconds"} <= table[0].keys()
    assert lines[0]["classes"]["square"].keys() == {"ap", "ap50", "objects"}
    assert list(folder.glob("events.*"))


def test_row_has_the_mean_losses_of_the_batches(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path / "run", replace(TOY, epochs=1))
    trainer.run()
    [row] = trainer.state.history
    results = toy_loop(replace(TOY, epochs=1)).train_epoch(LOADER, 0)
    losses = [float(sum(result.parts.values())) for result in results]
    assert row["loss"] == pytest.approx(sum(losses) / 4)
    assert row["loss"] == pytest.approx(sum(value for name, value in row.items() if name.startswith("loss/")))


def test_averaged_weights_and_images_of_first_batches_are_saved(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trainer = toy_trainer(folder, config=replace(CONFIG, save_every=2))
    trainer.run()
    assert sorted(path.name for path in folder.glob("epoch_*")) == ["epoch_2.safetensors"]
    last = store.load(folder / "last.safetensors").state_dict()
    assert all(torch.equal(value, last[key]) for key, value in trainer.loop.average.detector.state_dict().items())
    assert sorted(path.name for path in (folder / "batches").iterdir()) == ["1.jpg", "2.jpg", "3.jpg"]


def scripted_evaluation(*aps: float) -> Callable[[Detector], Metrics]:
    """Return an evaluation that returns the given AP values in order."""
    values: Iterator[float] = iter(aps)

    def evaluate(_: Detector) -> Metrics:
        return constant_metrics(next(values))

    return evaluate


def run_with_aps(folder: Path, config: TrainConfig, *aps: float, epochs: int = 5) -> Trainer:
    trainer = toy_trainer(folder, replace(TOY, epochs=epochs), config)
    trainer.evaluate = scripted_evaluation(*aps)
    trainer.run()
    return trainer


def test_early_stopping_after_patience_epochs(tmp_path: Path) -> None:
    config = replace(CONFIG, patience=2)
    trainer = run_with_aps(tmp_path / "run", config, 0.1, 0.3, 0.2, 0.3)
    assert (trainer.state.stop_reason, trainer.state.epoch, trainer.state.best_epoch) == (EARLY_STOPPED, 4, 2)
    assert stop_reason(trainer.state, config, 5) == EARLY_STOPPED
    assert stop_reason(trainer.state, replace(config, patience=3), 5) == ""
    assert stop_reason(trainer.state, replace(config, patience=0), 5) == ""


def test_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    trainer = run_with_aps(tmp_path / "run", CONFIG, 0.1, 0.3, 0.2, epochs=3)
    best, last = (store.load(tmp_path / "run" / name).state_dict() for name in ("best.safetensors", "last.safetensors"))
    assert trainer.state.best_fitness == pytest.approx(0.3)
    assert not torch.equal(best["backbone.stem.conv.weight"], last["backbone.stem.conv.weight"])


def test_newest_weights_are_the_best_if_nothing_can_be_measured(tmp_path: Path) -> None:
    config = replace(CONFIG, patience=1)
    trainer = run_with_aps(tmp_path / "run", config, -1.0, -1.0, -1.0, epochs=3)
    assert (trainer.state.stop_reason, trainer.state.best_epoch) == (FINISHED, 3)
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_last_epoch_is_always_evaluated(tmp_path: Path) -> None:
    trainer = run_with_aps(tmp_path / "run", replace(CONFIG, evaluate_every=2), 0.1, 0.2, 0.3)
    assert ["ap" in row for row in trainer.state.history] == [False, True, False, True, True]


def test_without_evaluation_only_the_last_weights_are_saved(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trainer = toy_trainer(folder)
    trainer.evaluate = None
    assert trainer.run() == FINISHED
    assert (folder / "last.safetensors").is_file()
    assert not (folder / "best.safetensors").exists()


def test_run_out_of_time_ends_after_an_epoch_and_resumes_exactly(uninterrupted: Trainer, tmp_path: Path) -> None:
    stopped = toy_trainer(tmp_path / "run", config=replace(CONFIG, hours=1e-9))
    assert stopped.run() == OUT_OF_TIME
    assert (stopped.state.epoch, stop_reason(stopped.state, CONFIG, 3)) == (1, "")
    stopped.state.stop_reason = ""
    resumed = Trainer(stopped.loop, LOADER, stopped.evaluate, CONFIG, stopped.folder, stopped.state)
    assert resumed.run() == FINISHED
    assert_same(state_of(uninterrupted.loop), state_of(resumed.loop))


def test_checkpoints_are_saved_between_two_optimizer_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[tuple[int, int]] = []
    monkeypatch.setattr(checkpoint, "save", lambda _, __, state: saved.append((state.epoch, state.batch)))
    toy_trainer(tmp_path / "run", replace(TOY, epochs=2)).run()
    assert saved == [(0, 1), (0, 2), (0, 4), (1, 0), (1, 2), (1, 4), (2, 0)]


def test_batch_source_is_closed_after_an_error(tmp_path: Path) -> None:
    class FailingLoader(ToyLoader):
        closed = 0

        def epoch(self, *_: object) -> Iterator[object]:
            raise RuntimeError("worker failed")

        def close(self) -> None:
            FailingLoader.closed += 1

    (tmp_path / "run").mkdir()
    trainer = Trainer(toy_loop(), FailingLoader(), None, CONFIG, tmp_path / "run", TrainingState())
    with pytest.raises(RuntimeError, match="worker failed"):
        trainer.run()
    assert FailingLoader.closed == 1


def test_progress_is_printed_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("model_zoo.progress.SECONDS", 0.0)  # a line a batch instead of one a minute
    toy_trainer(tmp_path / "run").run()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 12
    assert re.fullmatch(r"epoch 2/3: 8 of 16 images, \S+ images/s, 0:00:\d\d left, loss \S+", lines[5])
