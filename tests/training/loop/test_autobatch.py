"""Automatic batch size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.training.tiny_models import CPU, TOY, toy_detector, toy_loop
from training.loop.autobatch import CPU_BATCH, MAX_BATCH, SyntheticBatch, choose_batch, largest_batch


def linear_memory(base: int, per_image: int, limit: int | None = None) -> Callable[[int], int | None]:
    def measure(batch: int) -> int | None:
        used = base + per_image * batch
        return used if limit is None or used <= limit else None

    return measure


@pytest.mark.parametrize(
    ("base", "per_image", "budget", "expected"),
    [
        (1000, 100, 4300, 32),  # (4300 - 1000) / 100 = 33, rounded down to a multiple of 4
        (1000, 100, 1650, 6),
        (1000, 100, 1000, 1),  # not even one image fits, which the run itself will report
        (10, 1, 10**6, MAX_BATCH),
    ],
)
def test_largest_batch_is_extrapolated_from_small_ones(base: int, per_image: int, budget: int, expected: int) -> None:
    assert largest_batch(linear_memory(base, per_image), budget) == expected


def test_batch_that_ran_out_of_memory_is_never_chosen() -> None:
    assert largest_batch(linear_memory(1000, 100, limit=1500), 10**6) == 4


def test_steepest_growth_is_extrapolated() -> None:
    used = {1: 100, 2: 150, 4: 300, 8: 600, 16: 900}
    assert largest_batch(used.__getitem__, 2400) == 36  # 16 + 1500 / 75


def test_cpu_batch_needs_no_trial() -> None:
    assert choose_batch(toy_detector(), TOY, CPU, (64, 64)) == CPU_BATCH == 16


def test_synthetic_batch_can_be_trained_on() -> None:
    [result] = toy_loop().train_epoch(SyntheticBatch(2, (64, 96), 2), 0)
    assert result.batch.images.shape == (2, 64, 96, 3)
    assert result.batch.targets.boxes.shape == (100, 4)
    assert bool((result.batch.targets.boxes <= torch.tensor([96, 64, 96, 64])).all())
