"""CPU threads of training: measure a few steps with one thread, half of them and all, and keep the fastest.

Threads wait for each other at the end of every operation. Where other programs use the same cores, all threads wait for
the slowest, and one thread can be several times faster than all.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import torch
from loky import cpu_count

from model_zoo.detector import Detector
from training.loop.autobatch import SyntheticBatch
from training.loop.distributed import ProcessGroup
from training.loop.engine import TrainLoop
from training.loop.precision import ComputePrecision
from training.loop.schedule import LRSchedule
from training.recipe import Recipe

VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
ROUNDS: Final = 3  # each with every number, so that other load affects all alike
LONG_STEP: Final = 5.0  # seconds; steps this long are measured once
TRIAL_BATCH: Final = 4


@dataclass(frozen=True)
class ThreadChoice:
    """Number of threads and the training speeds that led to it."""

    threads: int
    """Chosen number."""
    speeds: Mapping[int, float]
    """Images per second by number of threads."""

    def __str__(self) -> str:
        measured = ", ".join(f"{speed:.1f} with {threads}" for threads, speed in self.speeds.items())
        return f"threads: {self.threads} (measured images/s: {measured}). To choose: --threads N or OMP_NUM_THREADS=N"


def available_threads() -> int:
    """Return the number of threads that PyTorch uses, at most the cores that this process may use."""
    return min(torch.get_num_threads(), int(cpu_count()))


def given_threads(requested: int | None) -> int | None:
    """Return the number of threads that the user set by an option or the environment, or None."""
    is_set = any(os.environ.get(name) for name in VARIABLES)
    return requested or (torch.get_num_threads() if is_set else None)


def choose_threads(measure: Callable[[int], float], available: int) -> ThreadChoice:
    """Return the fastest of one thread, half of them and all.

    Args:
        measure: Returns the seconds per image of a step with a number of threads.
        available: Number of all threads.
    """
    seconds: dict[int, list[float]] = {threads: [] for threads in (1, max(available // 2, 1), available)}
    for _ in range(ROUNDS):
        for threads, times in seconds.items():
            times.append(measure(threads))
        if sum(times[-1] for times in seconds.values()) * TRIAL_BATCH > len(seconds) * LONG_STEP:
            break
    speeds = {threads: 1 / statistics.median(times) for threads, times in seconds.items()}
    return ThreadChoice(max(speeds, key=speeds.__getitem__), speeds)


class TrialSteps:
    """Training steps of a copy of the detector on a small synthetic batch.

    Neither the detector nor the random state changes. Learning rates are tiny, so that no number overflows.
    """

    def __init__(self, detector: Detector, recipe: Recipe, compute: ComputePrecision, batch: int) -> None:
        self._images = min(batch, TRIAL_BATCH)
        recipe = replace(
            recipe,
            optimizer=replace(recipe.optimizer, lr=1e-12),
            schedule=replace(recipe.schedule, warmup_bias_lr=0.0),
        )
        schedule = LRSchedule(recipe.schedule, recipe.optimizer, epochs=1, steps_per_epoch=1, batch=self._images)
        self._source = SyntheticBatch(self._images, detector.input_spec.size, detector.head.num_classes)
        with torch.random.fork_rng(devices=()):
            self._loop = TrainLoop(copy.deepcopy(detector), recipe, schedule, compute, ProcessGroup())
        self._warm = set[int]()

    def seconds_per_image(self, threads: int) -> float:
        """Return the time of a step per image. The first step with a number of threads is not measured."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            if threads not in self._warm:
                self._step()
                self._warm.add(threads)
            return self._step() / self._images
        finally:
            torch.set_num_threads(before)

    def _step(self) -> float:
        with torch.random.fork_rng(devices=()):
            start = time.perf_counter()
            for _ in self._loop.train_epoch(self._source, epoch=0):
                pass
            return time.perf_counter() - start
