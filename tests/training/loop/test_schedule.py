"""Learning rate, momentum and accumulation, compared with reference values of the original programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.loop.schedule import LRSchedule, fit_to_run
from training.recipe import Optimizer, Schedule

EPOCHS, STEPS, BATCH = 30, 37, 16
YOLOV5 = Optimizer()
YOLOX = Optimizer(lr=0.01, accumulate=False)
V5 = Schedule(warmup_bias_lr=0.1, warmup_momentum=0.8)
NO_WARMUP = Schedule(kind="cosine", final=0.0, by_step=True, warmup_epochs=0, warmup_min_steps=0)


@pytest.fixture(scope="module")
def reference(shared: Path) -> Callable[[str], np.ndarray]:
    arrays = np.load(shared / "parity" / "training" / "schedules" / "e30.npz")
    return lambda name: arrays[name]


def build_schedule(schedule: Schedule, optimizer: Optimizer = YOLOV5) -> LRSchedule:
    return LRSchedule(schedule, optimizer, EPOCHS, STEPS, BATCH)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_yolov5_schedule(kind: str, reference: Callable[[str], np.ndarray]) -> None:
    steps = map(build_schedule(replace(V5, kind=kind)).at, range(EPOCHS * STEPS))
    rows = [(s.bias_lr, s.lr, s.momentum, s.accumulate) for s in steps]
    np.testing.assert_allclose(rows, reference(f"yolov5_{kind}"), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("yoloxwarmcos", replace(NO_WARMUP, final=0.05, warmup_epochs=5, warmup_power=2, flat_epochs=15)),
        ("warmcos", replace(NO_WARMUP, warmup_epochs=5, warmup_from=1e-6 / 0.0025)),
        ("cos", NO_WARMUP),
        ("multistep", replace(NO_WARMUP, kind="step", milestones=(0.6, 25 / 30))),
    ],
)
def test_yolox_schedule(name: str, schedule: Schedule, reference: Callable[[str], np.ndarray]) -> None:
    """YOLOX sets the lr after a step, so its first value is that of step 1. Step 0 starts the warm-up."""
    lr_schedule = build_schedule(schedule, YOLOX)
    lrs = [lr_schedule.at(step).lr for step in range(1, EPOCHS * STEPS + 1)]
    np.testing.assert_allclose(lrs, reference(f"yolox_{name}"), rtol=0, atol=1e-9)
    assert lr_schedule.at(0).lr == pytest.approx(schedule.warmup_from * 0.0025 if schedule.warmup_epochs else 0.0025)


def test_biases_share_the_lr_without_their_own_warmup() -> None:
    lr_schedule = build_schedule(replace(NO_WARMUP, warmup_epochs=2))
    assert all(lr_schedule.at(step).bias_lr == lr_schedule.at(step).lr for step in range(3 * STEPS))


def test_batch_larger_than_the_nominal_one_is_not_accumulated() -> None:
    lr_schedule = LRSchedule(V5, Optimizer(nominal_batch=64), EPOCHS, STEPS, batch=96)
    assert {lr_schedule.at(step).accumulate for step in range(EPOCHS * STEPS)} == {1}


def test_short_run_limits_warmup_and_flat_epochs() -> None:
    schedule = Schedule(warmup_epochs=3, warmup_min_steps=1000, flat_epochs=15)
    fitted = fit_to_run(schedule, epochs=6, steps_per_epoch=10)
    assert (fitted.warmup_epochs, fitted.warmup_min_steps, fitted.flat_epochs) == (2.0, 20, 3)
    assert fit_to_run(schedule, epochs=300, steps_per_epoch=100) == schedule
