"""Checkpoints: whole or not at all, and exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.weights import store
from tests.training.tiny_models import LOADER, TOY, assert_same, state_of, toy_detector, toy_loop
from training.loop.engine import TrainLoop
from training.recipe import Optimizer
from training.run import checkpoint
from training.run.checkpoint import TrainingState

ADAMW = replace(TOY, optimizer=Optimizer(name="adamw", lr=1e-3, nominal_batch=8))


def trained(recipe=TOY) -> TrainLoop:
    loop = toy_loop(recipe)
    for _ in loop.train_epoch(LOADER, 0):
        pass
    return loop


@pytest.mark.parametrize("recipe", [TOY, ADAMW], ids=["sgd", "adamw"])
def test_an_engine_is_put_where_it_was(recipe, tmp_path: Path) -> None:
    first = trained(recipe)
    state = TrainingState(
        epoch=1, batch=0, sums={"box": 0.1 + 0.2}, best=0.1, best_epoch=1, history=[{"epoch": 1, "ap": 1 / 3}]
    )
    checkpoint.save(tmp_path / "c", first, state)
    tensors, read = checkpoint.read(tmp_path / "c")
    second = toy_loop(recipe, detector=toy_detector())
    checkpoint.restore(second, tensors, read)
    assert read == state
    assert (second.images_seen, second.average.updates) == (16, first.average.updates)
    assert_same(state_of(first), state_of(second))
    for loop in (first, second):
        for _ in loop.train_epoch(LOADER, 1):
            pass
    assert_same(state_of(first), state_of(second))


def test_tensors_lie_in_the_file_as_the_contract_says_and_not_as_in_memory(tmp_path: Path) -> None:
    loop = trained()
    assert not loop.detector.backbone.stem.conv.weight.is_contiguous()
    checkpoint.save(tmp_path / "c", loop, TrainingState())
    tensors, _ = checkpoint.read(tmp_path / "c")
    weight = checkpoint.select(tensors, "detector")["backbone.stem.conv.weight"]
    assert weight.is_contiguous()
    assert torch.equal(weight, loop.detector.backbone.stem.conv.weight)


def test_a_run_that_dies_while_writing_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = trained()
    checkpoint.save(tmp_path / "c", loop, TrainingState(epoch=1))

    def die(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "serialize_tensors", die)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path / "c", loop, TrainingState(epoch=2))
    assert checkpoint.read(tmp_path / "c")[1].epoch == 1


@pytest.mark.parametrize("contents", [b"", b"half", b"\x80\x00\x00\x00\x00\x00\x00\x00{"])
def test_a_damaged_checkpoint_is_told(contents: bytes, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(contents)
    with pytest.raises(LineageError, match="expected a whole checkpoint; got a damaged one"):
        checkpoint.read(tmp_path / "c")


def test_another_runs_checkpoint_is_told(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", trained(), TrainingState())
    tensors, state = checkpoint.read(tmp_path / "c")
    with pytest.raises(LineageError, match="differs in optimizer/"):
        checkpoint.restore(toy_loop(detector=toy_detector()), {**tensors, "optimizer/x/y": torch.ones(1)}, state)
    with pytest.raises(LineageError, match="differs in average/"):
        checkpoint.restore(toy_loop(detector=toy_detector("yolov7-test")), tensors, state)


def test_a_run_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="there is none"):
        checkpoint.read(tmp_path / "c")
