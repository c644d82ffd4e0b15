"""Where a run computes, and how many images fit there."""

from __future__ import annotations

import pytest
import torch

from model_zoo.contract.errors import LineageError
from tests.training.tiny_models import CPU, TOY, toy_detector, toy_loop
from training.loop import precision
from training.loop.autobatch import MAX_BATCH, SyntheticBatch, choose_batch, largest_batch
from training.loop.precision import choose_device, choose_precision

CUDA = torch.device("cuda")


def test_a_cpu_computes_in_bf16_where_it_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for capabilities, expected in (
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx2": True}, "fp32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert choose_precision("auto", CPU.device) == expected


def test_a_gpu_without_bf16_computes_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_it, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has_it: has)
        assert choose_precision("auto", CUDA) == expected


def test_what_is_asked_for_is_taken() -> None:
    assert choose_precision("fp32", CPU.device) == "fp32"
    assert choose_precision("fp16", CUDA) == "fp16"
    with pytest.raises(LineageError, match="fp16, which is for GPUs"):
        choose_precision("fp16", CPU.device)


def test_the_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", local_rank=1) == torch.device("cuda", 1)
    assert choose_device("cuda:0") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:7"])
def test_a_device_that_is_not_there_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(LineageError, match=f"--device: .*{name}"):
        choose_device(name)


def test_fp16_is_scaled_and_the_others_are_not() -> None:
    assert precision.ComputePrecision(CPU.device, torch.float16).scaler().is_enabled()
    assert not precision.ComputePrecision(CPU.device, torch.bfloat16).scaler().is_enabled()


def memory(base: int, per_image: int, limit: int | None = None):
    def memory_of(batch: int) -> int | None:
        used = base + per_image * batch
        return used if limit is None or used <= limit else None

    return memory_of


@pytest.mark.parametrize(
    ("base", "per_image", "budget", "expected"),
    [
        (1000, 100, 4300, 32),  # (4300 - 1000) / 100 = 33, in steps of 4
        (1000, 100, 1650, 6),
        (1000, 100, 1000, 1),  # not even one fits: the run itself will tell
        (10, 1, 10**6, MAX_BATCH),
    ],
)
def test_the_largest_batch_that_fits_is_reckoned_from_small_ones(
    base: int, per_image: int, budget: int, expected: int
) -> None:
    assert largest_batch(memory(base, per_image), budget) == expected


def test_a_batch_that_did_not_fit_is_never_taken() -> None:
    assert largest_batch(memory(1000, 100, limit=1500), 10**6) == 4


def test_memory_that_grows_faster_is_reckoned_with_the_fastest() -> None:
    seen = {1: 100, 2: 150, 4: 300, 8: 600, 16: 900}
    assert largest_batch(seen.__getitem__, 2400) == 36  # 16 + 1500 / 75


def test_a_cpu_is_given_a_batch_without_a_trial() -> None:
    assert choose_batch(toy_detector(), TOY, CPU, (64, 64)) == 16


def test_the_batch_of_a_trial_can_be_learned_from() -> None:
    loop = toy_loop()
    [learned] = loop.train_epoch(SyntheticBatch(2, (64, 96), 2), 0)
    assert learned.batch.images.shape == (2, 64, 96, 3)
    assert learned.batch.targets.boxes.shape == (100, 4)
    assert bool((learned.batch.targets.boxes <= torch.tensor([96, 64, 96, 64])).all())
