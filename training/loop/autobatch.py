"""How many images fit: a few small batches are tried on the GPU, and what they took tells what more would take."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch

from model_zoo.contract.letterbox import Size
from model_zoo.detector import Detector
from training.batch import Batch, Targets
from training.loop.distributed import Processes
from training.loop.engine import Engine
from training.loop.precision import Arithmetic
from training.loop.schedule import LRSchedule
from training.recipe import Recipe

ON_A_CPU: Final = 16
TRIED: Final = (1, 2, 4, 8, 16)
MOST: Final = 128
SHARE: Final = 0.6  # of the memory that is free; crowded images, evaluation and fragments take from the rest
OBJECTS: Final = 50  # in each image that is tried


def fitting_batch(memory_of: Callable[[int], int | None], budget: int) -> int:
    """Return the largest batch that should stay within `budget` bytes, at least 1, in steps of 4 from 8 on.

    memory_of: bytes that a batch takes at its peak, None where it does not fit at all; then the last that did is taken.
    Bytes grow in proportion to images from some base on; the steepest growth seen is what is reckoned with.
    """
    seen: list[tuple[int, int]] = []
    for batch in TRIED:
        used = memory_of(batch)
        if used is None:
            return seen[-1][0] if seen else 1
        if used > budget:
            break
        seen.append((batch, used))
    if len(seen) < 2:
        return 1
    slopes = [(b - a) / (m - n) for (n, a), (m, b) in itertools.pairwise(seen)]
    (batch, used), slope = seen[-1], max(*slopes, 1.0)
    most = min(batch + int((budget - used) / slope), MOST)
    return most if most < 8 else most // 4 * 4


@dataclass(frozen=True)
class OneBatch:
    """A loader of one batch of noise, with objects all over it."""

    images: int
    size: Size
    num_classes: int
    steps_per_epoch: int = 1

    def epoch(self, *_: object) -> Iterator[Batch]:
        """Give the batch."""
        height, width = self.size
        corners = torch.rand(self.images * OBJECTS, 2, 2) * torch.tensor([width, height])
        boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
        class_ids = torch.randint(self.num_classes, (len(boxes),))
        pixels = torch.randint(256, (self.images, height, width, 3), dtype=torch.uint8)
        yield Batch(pixels, Targets(torch.arange(self.images).repeat_interleave(OBJECTS), class_ids, boxes))

    def close(self) -> None:
        """Do nothing: nobody loads."""


def memory_of(batch: int, detector: Detector, recipe: Recipe, arithmetic: Arithmetic, size: Size) -> int | None:
    """Return the bytes at the peak of one whole step on the GPU, None where it has not so many; a copy learns."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(arithmetic.device)
    timetable = LRSchedule(recipe.schedule, recipe.optimizer, epochs=1, steps_per_epoch=1, batch=batch)
    try:
        engine = Engine(copy.deepcopy(detector), recipe, timetable, arithmetic, Processes())
        for _ in engine.learn(OneBatch(batch, size, detector.head.num_classes), epoch=0):
            pass
    except torch.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_reserved(arithmetic.device)


def batch_for(detector: Detector, recipe: Recipe, arithmetic: Arithmetic, size: Size) -> int:
    """Return the images of one process's batch, at the largest size they will have; on a CPU always the same."""
    if arithmetic.device.type != "cuda":
        return ON_A_CPU
    free, _ = torch.cuda.mem_get_info(arithmetic.device)
    return fitting_batch(lambda batch: memory_of(batch, detector, recipe, arithmetic, size), int(SHARE * free))
