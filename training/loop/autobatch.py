"""Automatic batch size: train on a few small batches, and extrapolate their memory use."""

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
from training.loop.distributed import ProcessGroup
from training.loop.engine import TrainLoop
from training.loop.precision import ComputePrecision
from training.loop.schedule import LRSchedule
from training.recipe import Recipe

CPU_BATCH: Final = 16
TRIAL_BATCHES: Final = (1, 2, 4, 8, 16)
MAX_BATCH: Final = 128
MEMORY_FRACTION: Final = 0.6  # of free memory; the rest is for crowded images, evaluation and fragmentation
OBJECTS_PER_IMAGE: Final = 50


def choose_batch(detector: Detector, recipe: Recipe, compute: ComputePrecision, size: Size) -> int:
    """Return the images per batch of one rank, for the largest image size of the run. On a CPU it is CPU_BATCH."""
    if compute.device.type != "cuda":
        return CPU_BATCH
    free, _ = torch.cuda.mem_get_info(compute.device)
    return largest_batch(lambda batch: peak_memory(batch, detector, recipe, compute, size), int(MEMORY_FRACTION * free))


def largest_batch(measure: Callable[[int], int | None], budget: int) -> int:
    """Return the largest batch expected to stay within a memory budget: at least 1, and a multiple of 4 from 8 on.

    Memory is assumed to grow linearly with the batch, at the steepest rate measured. If a trial runs out of memory,
    the largest batch that did not is returned.

    Args:
        measure: Returns the peak memory of a batch size in bytes, or None if it runs out of memory.
        budget: Memory budget in bytes.
    """
    measured: list[tuple[int, int]] = []
    for batch in TRIAL_BATCHES:
        used = measure(batch)
        if used is None:
            return measured[-1][0] if measured else 1
        if used > budget:
            break
        measured.append((batch, used))
    if len(measured) < 2:
        return 1
    slopes = [(b - a) / (m - n) for (n, a), (m, b) in itertools.pairwise(measured)]
    (batch, used), slope = measured[-1], max(*slopes, 1.0)
    largest = min(batch + int((budget - used) / slope), MAX_BATCH)
    return largest if largest < 8 else largest // 4 * 4


def peak_memory(batch: int, detector: Detector, recipe: Recipe, compute: ComputePrecision, size: Size) -> int | None:
    """Return the peak GPU memory of one training step of a copy of the detector, in bytes, or None if it runs out."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(compute.device)
    schedule = LRSchedule(recipe.schedule, recipe.optimizer, epochs=1, steps_per_epoch=1, batch=batch)
    try:
        loop = TrainLoop(copy.deepcopy(detector), recipe, schedule, compute, ProcessGroup())
        for _ in loop.train_epoch(SyntheticBatch(batch, size, detector.head.num_classes), epoch=0):
            pass
    except torch.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_reserved(compute.device)


@dataclass(frozen=True)
class SyntheticBatch:
    """Batch source of one batch: noise images with many random objects."""

    num_images: int
    """Images of the batch."""
    size: Size
    """Height and width of the images."""
    num_classes: int
    """Number of classes."""
    steps_per_epoch: int = 1
    """Batches per epoch."""

    def epoch(self, *_: object) -> Iterator[Batch]:
        """Yield the batch."""
        height, width = self.size
        corners = torch.rand(self.num_images * OBJECTS_PER_IMAGE, 2, 2) * torch.tensor([width, height])
        boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
        class_ids = torch.randint(self.num_classes, (len(boxes),))
        images = torch.randint(256, (self.num_images, height, width, 3), dtype=torch.uint8)
        image_index = torch.arange(self.num_images).repeat_interleave(OBJECTS_PER_IMAGE)
        yield Batch(images, Targets(image_index, class_ids, boxes))

    def close(self) -> None:
        """Do nothing: there are no workers."""
