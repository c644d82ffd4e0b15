"""Checkpoints: exact, atomic, and checked when read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.weights import store
from tests.training.tiny_models import LOADER, TOY, assert_same, state_of, toy_detector, toy_loop
from training.loop.engine import TrainLoop
from training.recipe import Optimizer, Recipe
from training.run import checkpoint
from training.run.checkpoint import TrainingState

ADAMW = replace(TOY, optimizer=Optimizer(name="adamw", lr=1e-3, nominal_batch=8))


def trained(recipe: Recipe = TOY) -> TrainLoop:
    loop = toy_loop(recipe)
    for _ in loop.train_epoch(LOADER, 0):
        pass
    return loop


@pytest.mark.parametrize("recipe", [TOY, ADAMW], ids=["sgd", "adamw"])
def test_restored_loop_continues_exactly(recipe: Recipe, tmp_path: Path) -> None:
    first = trained(recipe)
    history = [{"epoch": 1, "ap": 1 / 3}]
    state = TrainingState(
        epoch=1, batch=0, loss_sums={"box": 0.1 + 0.2}, best_fitness=0.1, best_epoch=1, history=history
    )
    checkpoint.save(tmp_path / "c", first, state)
    tensors, loaded = checkpoint.read(tmp_path / "c")
    second = toy_loop(recipe, detector=toy_detector())
    checkpoint.restore(second, tensors, loaded)
    assert loaded == state
    assert (second.images_seen, second.average.updates) == (16, first.average.updates)
    assert_same(state_of(first), state_of(second))
    for loop in (first, second):
        for _ in loop.train_epoch(LOADER, 1):
            pass
    assert_same(state_of(first), state_of(second))


def test_tensors_are_contiguous_in_the_file(tmp_path: Path) -> None:
    """In memory they are in channels-last format."""
    loop = trained()
    assert not loop.detector.backbone.stem.conv.weight.is_contiguous()
    checkpoint.save(tmp_path / "c", loop, TrainingState())
    tensors, _ = checkpoint.read(tmp_path / "c")
    weight = checkpoint.select(tensors, "detector")["backbone.stem.conv.weight"]
    assert weight.is_contiguous()
    assert torch.equal(weight, loop.detector.backbone.stem.conv.weight)


def test_failed_write_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = trained()
    checkpoint.save(tmp_path / "c", loop, TrainingState(epoch=1))

    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "serialize_tensors", fail)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path / "c", loop, TrainingState(epoch=2))
    assert checkpoint.read(tmp_path / "c")[1].epoch == 1


@pytest.mark.parametrize("contents", [b"", b"half", b"\x80\x00\x00\x00\x00\x00\x00\x00{"])
def test_damaged_checkpoint_is_an_error(contents: bytes, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(contents)
    with pytest.raises(LineageError, match="expected a checkpoint, but the file is damaged"):
        checkpoint.read(tmp_path / "c")


def test_checkpoint_of_another_run_is_an_error(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", trained(), TrainingState())
    tensors, state = checkpoint.read(tmp_path / "c")
    with pytest.raises(LineageError, match="differs in optimizer/"):
        checkpoint.restore(toy_loop(detector=toy_detector()), {**tensors, "optimizer/x/y": torch.ones(1)}, state)
    with pytest.raises(LineageError, match="differs in average/"):
        checkpoint.restore(toy_loop(detector=toy_detector("yolov7-test")), tensors, state)


def test_missing_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="expected a checkpoint; the run was stopped before it wrote one"):
        checkpoint.read(tmp_path / "c")
