"""Step `training`: train in bf16, and compare the first losses with float32 on the CPU.

The batches are those of `lineage train` where a dataset can be read, and random ones otherwise. The loop, the
criterion, the optimizer and the averaged weights are always those of `lineage train`. There is no evaluation.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from benchmarks.gpu_steps.results import CouldNotRun, Options, Row, write_row
from model_zoo.contract.errors import LineageError
from model_zoo.registry import build
from training.batch import Batch, Targets
from training.loop.distributed import ProcessGroup
from training.loop.engine import BatchSource, TrainLoop
from training.loop.precision import ComputePrecision
from training.loop.schedule import LRSchedule, fit_to_run
from training.recipes import recipe_of

EPOCHS: Final = 3
FIRST_STEPS: Final = 3
READY_STEPS: Final = 30
TOLERANCE: Final = 0.02  # of the loss: bf16 has 8 bits of mantissa
NUM_CLASSES: Final = 3  # as in BCCD
OBJECTS: Final = 12  # per random image, as in BCCD
IMAGES: Final = 292  # in an epoch of random batches, as in BCCD


@dataclass(frozen=True)
class Setup:
    """Size of a run."""

    side: int
    """Sides of the canvas."""
    batch: int
    """Images per batch."""
    epochs: int = EPOCHS
    """Passes over the images."""
    images: int = IMAGES
    """Images of an epoch of random batches."""


@dataclass(frozen=True)
class FixedBatches:
    """Batch source that repeats batches which are in memory."""

    batches: Sequence[Batch]
    """The batches."""
    steps_per_epoch: int
    """Batches per epoch."""

    def epoch(self, *_: object) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        yield from itertools.islice(itertools.cycle(self.batches), self.steps_per_epoch)

    def close(self) -> None:
        """Do nothing: there are no workers."""


def run(options: Options) -> None:
    """Measure a size for comparison with CPUs, and one for GPUs."""
    setups = [Setup(64, 4, 1, 16)] if options.quick else [Setup(320, 16), Setup(640, 64)]
    for setup in setups:
        source, name = open_source(options, setup)
        with closing(source):
            measure(options, setup, source, name)


def measure(options: Options, setup: Setup, source: BatchSource, name: str) -> None:
    """Compare the first losses, then time the epochs, and the same steps on batches that are in memory."""
    ready = [pinned(batch) for batch in itertools.islice(source.epoch(0, False, 0), FIRST_STEPS)]
    device = torch.device(options.device)
    first = {
        f"{dtype} on {where}": first_losses(options, setup, ComputePrecision(where, dtype), ready)
        for where, dtype in ((torch.device("cpu"), torch.float32), (device, torch.float32), (device, torch.bfloat16))
    }
    _write(options, setup, f"{name}: first losses", note=compare_losses(first))
    loop = make_loop(options, setup, ComputePrecision(device, torch.bfloat16), source)
    for epoch in range(setup.epochs):
        seconds, images, loss = train_epoch(loop, source, epoch)
        _write(options, setup, f"{name}: epoch {epoch + 1}", images / seconds, note=f"mean loss {loss:.4f}")
    fixed = FixedBatches(ready, READY_STEPS)
    loop = make_loop(options, setup, ComputePrecision(device, torch.bfloat16), fixed)
    train_epoch(loop, FixedBatches(ready, FIRST_STEPS), 0)  # warm up
    seconds, images, _ = train_epoch(loop, fixed, 0)
    _write(options, setup, f"{name}: batches in memory", images / seconds, note=peak_memory(device))


def open_source(options: Options, setup: Setup) -> tuple[BatchSource, str]:
    """Return the batches of the dataset with its name, or random ones and why."""
    if not options.data:
        return random_batches(setup), "random batches (no --data)"
    try:
        return _open_loader(Path(options.data), options, setup), Path(options.data).name
    except (CouldNotRun, ImportError, LineageError, OSError) as error:
        return random_batches(setup), f"random batches ({options.data}: {' '.join(str(error).split())})"


def _open_loader(data: Path, options: Options, setup: Setup) -> BatchSource:
    from training.data.loading.loader import TrainingLoader
    from training.data.open import open_dataset

    spec = build(options.model).input_spec
    return TrainingLoader(
        split=open_dataset(data).split("train"),
        augmentation=recipe_of(options.model).augmentation,
        image_size=(setup.side, setup.side),
        policy=spec.letterbox,
        stride=32,
        batch=setup.batch,
        workers=0 if options.quick else min(len(os.sched_getaffinity(0)), 12),
        seed=0,
    )


def random_batches(setup: Setup) -> FixedBatches:
    """Return noise images with random objects, the same in every run."""
    draw = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(FIRST_STEPS):
        images = torch.randint(256, (setup.batch, setup.side, setup.side, 3), dtype=torch.uint8, generator=draw)
        corners = torch.rand(setup.batch * OBJECTS, 2, 2, generator=draw) * setup.side
        boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
        class_ids = torch.randint(NUM_CLASSES, (len(boxes),), generator=draw)
        batches.append(Batch(images, Targets(torch.arange(setup.batch).repeat_interleave(OBJECTS), class_ids, boxes)))
    return FixedBatches(batches, max(setup.images // setup.batch, 1))


def make_loop(options: Options, setup: Setup, compute: ComputePrecision, source: BatchSource) -> TrainLoop:
    """Return the loop of `lineage train` for new weights, which depend on the seed alone."""
    torch.manual_seed(0)
    detector = build(options.model, num_classes=NUM_CLASSES)
    detector.resize((setup.side, setup.side))
    recipe, steps = recipe_of(options.model), source.steps_per_epoch
    schedule = fit_to_run(recipe.schedule, setup.epochs, steps)
    lr_schedule = LRSchedule(schedule, recipe.optimizer, setup.epochs, steps, setup.batch)
    return TrainLoop(detector, recipe, lr_schedule, compute, ProcessGroup())


def first_losses(options: Options, setup: Setup, compute: ComputePrecision, batches: Sequence[Batch]) -> list[float]:
    """Return the losses of the first steps on given batches."""
    source = FixedBatches(batches, len(batches))
    loop = make_loop(options, setup, compute, source)
    return [float(sum(part.sum() for part in step.parts.values())) for step in loop.train_epoch(source, 0)]


def compare_losses(losses: dict[str, list[float]]) -> str:
    """Return how far the losses of other devices and precisions are from the first entry's."""
    reference, *others = losses.items()
    texts = [", ".join(f"{loss:.4f}" for loss in reference[1]) + f" ({reference[0]})"]
    for name, values in others:
        apart = max(abs(a - b) / abs(b) for a, b in zip(values, reference[1], strict=True))
        texts.append(f"{name}: {'equal' if apart <= TOLERANCE else 'DIFFERENT'} ({100 * apart:.2g} % apart at most)")
    return "; ".join(texts)


def train_epoch(loop: TrainLoop, source: BatchSource, epoch: int) -> tuple[float, int, float]:
    """Train an epoch. Return its seconds, its images, and the mean loss of a step."""
    start, images, losses = time.perf_counter(), 0, []
    for step in loop.train_epoch(source, epoch):
        images += len(step.batch.images)
        losses.append(sum(part.sum() for part in step.parts.values()))
    total = float(sum(losses))  # waits for the device
    return time.perf_counter() - start, images, total / len(losses)


def pinned(batch: Batch) -> Batch:
    """Return the batch in pinned memory, as the loader of `lineage train` delivers it on a GPU."""
    return Batch(batch.images.pin_memory(), batch.targets) if torch.cuda.is_available() else batch


def peak_memory(device: torch.device) -> str:
    """Return the most memory that tensors had on the GPU."""
    return f"peak {torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB" if device.type == "cuda" else ""


def _write(options: Options, setup: Setup, subject: str, images_per_second: float = 0.0, note: str = "") -> None:
    step_ms = 1e3 * setup.batch / images_per_second if images_per_second else 0.0
    write_row(options, Row("training", subject, setup.side, setup.side, setup.batch, images_per_second, step_ms, note))
