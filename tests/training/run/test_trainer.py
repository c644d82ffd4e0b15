"""A run: interrupted and gone on with it is the run it would have been; it ends when it should."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
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
from training.run.trainer import FINISHED, INTERRUPTED, EARLY_STOPPED, OUT_OF_TIME, Trainer, stop_reason

TIMES = ("seconds", "images_per_second", "memory_gib")


class Stop(ToyCriterion):
    """Sends a signal to its own process in one of the batches."""

    def __init__(self, batch: int, number: int) -> None:
        super().__init__()
        self.left, self.number = batch, number

    def forward(self, maps, targets, context) -> Losses:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        return super().forward(maps, targets, context)


def rows(trainer: Trainer) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in trainer.state.history]


def resumed(folder: Path, recipe: Recipe = TOY, config: TrainConfig = CONFIG) -> Trainer:
    trainer = toy_trainer(folder, recipe, config, toy_loop(recipe, detector=toy_detector()))
    tensors, state = checkpoint.read(folder / "checkpoint.safetensors")
    checkpoint.restore(trainer.loop, tensors, state)
    return Trainer(trainer.loop, LOADER, trainer.evaluate, config, folder, state)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("batch", [1, 5, 8])
def test_an_interrupted_run_goes_on_exactly_where_it_was(batch: int, number: int, tmp_path: Path) -> None:
    """In the first batch, between two steps of the optimizer, after the last batch of an epoch."""
    whole = toy_trainer(tmp_path / "whole")
    assert whole.run() == FINISHED

    stopped = replace(TOY, criterion=lambda _: Stop(batch, number))
    assert toy_trainer(tmp_path / "parts", stopped).run() == INTERRUPTED
    parts = resumed(tmp_path / "parts")
    assert (parts.state.epoch, parts.state.batch) == {1: (0, 1), 5: (1, 2), 8: (1, 4)}[batch]
    assert parts.run() == FINISHED

    assert_same(state_of(whole.loop), state_of(parts.loop))
    assert rows(whole) == rows(parts)
    assert (whole.state.best, whole.state.best_epoch) == (parts.state.best, parts.state.best_epoch)
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_signals_mean_again_what_they_meant_before(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    toy_trainer(tmp_path / "run", replace(TOY, epochs=1)).run()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_every_epoch_has_one_row_in_every_file(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    toy_trainer(folder, replace(TOY, criterion=lambda _: Stop(6, signal.SIGTERM))).run()
    resumed(folder).run()
    with (folder / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert {"loss", "loss/level0", "ap", "ap50", "lr", "images_per_second", "seconds"} <= table[0].keys()
    assert lines[0]["classes"]["square"].keys() == {"ap", "ap50", "objects"}
    assert list(folder.glob("events.*"))


def test_the_losses_of_a_row_are_those_of_an_average_batch(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path / "run", replace(TOY, epochs=1))
    trainer.run()
    [row] = trainer.state.history
    losses = [float(sum(one.parts.values())) for one in toy_loop(replace(TOY, epochs=1)).learn(LOADER, 0)]
    assert row["loss"] == pytest.approx(sum(losses) / 4)
    assert row["loss"] == pytest.approx(sum(value for name, value in row.items() if name.startswith("loss/")))


def test_weights_are_kept_in_their_training_form(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trainer = toy_trainer(folder, config=replace(CONFIG, save_every=2))
    trainer.run()
    assert sorted(path.name for path in folder.glob("epoch_*")) == ["epoch_2.safetensors"]
    last = store.load(folder / "last.safetensors").state_dict()
    assert all(torch.equal(value, last[key]) for key, value in trainer.loop.average.detector.state_dict().items())
    assert sorted(path.name for path in (folder / "batches").iterdir()) == ["1.jpg", "2.jpg", "3.jpg"]


def scripted(*aps: float):
    """Return an evaluation that finds these AP, one after the other."""
    values: Iterator[float] = iter(aps)

    def evaluate(_: Detector) -> Metrics:
        return constant_metrics(next(values))

    return evaluate


def run_with(folder: Path, config: TrainConfig, *aps: float, epochs: int = 5) -> Trainer:
    trainer = toy_trainer(folder, replace(TOY, epochs=epochs), config)
    trainer.evaluate = scripted(*aps)
    trainer.run()
    return trainer


def test_a_run_that_gets_no_better_ends(tmp_path: Path) -> None:
    config = replace(CONFIG, patience=2)
    trainer = run_with(tmp_path / "run", config, 0.1, 0.3, 0.2, 0.3)
    assert (trainer.state.stop_reason, trainer.state.epoch, trainer.state.best_epoch) == (EARLY_STOPPED, 4, 2)
    assert stop_reason(trainer.state, config, 5) == EARLY_STOPPED
    assert stop_reason(trainer.state, replace(config, patience=3), 5) == ""
    assert stop_reason(trainer.state, replace(config, patience=0), 5) == ""


def test_the_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    trainer = run_with(tmp_path / "run", CONFIG, 0.1, 0.3, 0.2, epochs=3)
    best, last = (store.load(tmp_path / "run" / name).state_dict() for name in ("best.safetensors", "last.safetensors"))
    assert trainer.state.best == pytest.approx(0.3)
    assert not torch.equal(best["backbone.stem.conv.weight"], last["backbone.stem.conv.weight"])


def test_evaluation_comes_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    trainer = run_with(tmp_path / "run", replace(CONFIG, evaluate_every=2), 0.1, 0.2, 0.3)
    assert ["ap" in row for row in trainer.state.history] == [False, True, False, True, True]


def test_without_evaluation_the_last_weights_are_kept_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trainer = toy_trainer(folder)
    trainer.evaluate = None
    assert trainer.run() == FINISHED
    assert (folder / "last.safetensors").is_file()
    assert not (folder / "best.safetensors").exists()


def test_a_run_out_of_time_ends_with_the_epoch_and_can_be_gone_on_with(tmp_path: Path) -> None:
    whole = toy_trainer(tmp_path / "whole")
    whole.run()
    late = toy_trainer(tmp_path / "late", config=replace(CONFIG, hours=1e-9))
    assert late.run() == OUT_OF_TIME
    assert (late.state.epoch, stop_reason(late.state, CONFIG, 3)) == (1, "")
    late.state.stop_reason = ""
    parts = Trainer(late.loop, LOADER, late.evaluate, CONFIG, late.folder, late.state)
    assert parts.run() == FINISHED
    assert_same(state_of(whole.loop), state_of(parts.loop))


def test_a_checkpoint_in_time_lies_between_two_steps_of_the_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(checkpoint, "save", lambda _, __, state: seen.append((state.epoch, state.batch)))
    toy_trainer(tmp_path / "run", replace(TOY, epochs=2)).run()
    assert seen == [(0, 1), (0, 2), (0, 4), (1, 0), (1, 2), (1, 4), (2, 0)]


def test_loaders_are_closed_whatever_happens(tmp_path: Path) -> None:
    class Failing(ToyLoader):
        closed = 0

        def epoch(self, *_: object) -> Iterator[object]:
            raise RuntimeError("a worker died")

        def close(self) -> None:
            Failing.closed += 1

    (tmp_path / "run").mkdir()
    trainer = Trainer(toy_loop(), Failing(), None, CONFIG, tmp_path / "run", TrainingState())
    with pytest.raises(RuntimeError, match="a worker died"):
        trainer.run()
    assert Failing.closed == 1
