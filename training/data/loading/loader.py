"""Load training batches with worker processes, whose number does not change the batches."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from model_zoo.contract.errors import LineageError
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from training.augment.augmenter import Augmenter
from training.augment.canvas import resize
from training.batch import Batch, Sample, collate
from training.data.dataset import Split
from training.data.loading.image_cache import Cache, CachedImages, image_bytes
from training.data.loading.sampler import BatchSampler, SampleSpec
from training.recipe import Augmentation

PREFETCH = 2  # batches that each worker prepares in advance
SHARED_MEMORY = Path("/dev/shm")  # where workers put finished batches on Linux


class TrainingLoader:
    """Batches of a training split, epoch by epoch.

    A sample depends only on seed, epoch and image, so the number of workers changes nothing and an epoch can be resumed
    at any step. `BatchSampler` assigns images to steps and ranks.
    """

    def __init__(
        self,
        *,
        split: Split,
        augmentation: Augmentation,
        image_size: Size,
        policy: LetterboxPolicy,
        stride: int,
        batch: int,
        workers: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        cache: Cache = "auto",
    ) -> None:
        """Allocate the image cache. Workers start with the first epoch.

        Args:
            split: Images to train on.
            augmentation: Augmentation of the recipe.
            image_size: Height and width of the network input.
            policy: Letterbox policy of the network.
            stride: Step of multi-scale sizes.
            batch: Batch size of this rank.
            workers: Worker processes; 0 loads in this process.
            seed: Seed of the run.
            rank: Rank of this process.
            world: Number of ranks.
            cache: Where resized images are kept, see `CachedImages`.

        Raises:
            LineageError: The split has no images.
        """
        if not split.records:
            raise LineageError(f"split {split.name!r}: expected images to train on; got none")
        images = CachedImages(split.records, image_size, policy, cache, world)
        self._samples = _Samples(Augmenter(images, augmentation, image_size, policy))
        self._sampler = BatchSampler(len(images), augmentation, image_size, stride, batch, seed, rank, world)
        self._workers = workers
        self._specs: list[list[SampleSpec]] = []
        self._loader: DataLoader[Sample | LineageError] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""
        return self._sampler.steps

    def epoch(self, epoch: int, close_mosaic: bool = False, start_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from `start_step` on, without mosaic and mixup if `close_mosaic`.

        Only one epoch can be iterated at a time.

        Raises:
            LineageError: An image is missing or corrupt, or shared memory is too small for the workers.
        """
        self._specs[:] = self._sampler.batches(epoch, close_mosaic, start_step)
        if self._loader is None:
            self._loader = self._start()
        for batch in self._loader:
            if isinstance(batch, LineageError):
                raise batch
            yield batch

    def close(self) -> None:
        """Stop the workers. The next epoch starts them again."""
        self._loader = None

    def _start(self) -> DataLoader[Sample | LineageError]:
        """Create the loader, whose workers stay alive between epochs and read `_specs` batch by batch."""
        workers = self._workers
        if workers:
            self._check_shared_memory()
        return DataLoader(
            self._samples,
            batch_sampler=self._specs,
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_init_worker,
            multiprocessing_context=_start_context() if workers else None,
            generator=torch.Generator(),  # without one, each epoch would advance the global generator
            prefetch_factor=PREFETCH if workers else None,
            persistent_workers=workers > 0,
        )

    def _check_shared_memory(self) -> None:
        """Check that finished batches fit. Otherwise the system would kill the workers without a message.

        Raises:
            LineageError: Shared memory is too small.
        """
        if not SHARED_MEMORY.is_dir():
            return
        needed = self._sampler.batch * image_bytes(self._sampler.largest_size) * (self._workers * PREFETCH + 1)
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free < needed:
            raise LineageError(
                f"{SHARED_MEMORY}: expected {needed / 1e6:,.0f} MB free for the batches of {self._workers} workers; "
                f"got {free / 1e6:,.0f} MB; use fewer workers or enlarge it (docker run --shm-size)"
            )


@dataclass(frozen=True)
class _Samples(Dataset[Sample | LineageError]):
    """Samples by their specs. Errors are returned, because workers add tracebacks to exceptions."""

    augmenter: Augmenter

    def __getitem__(self, spec: SampleSpec) -> Sample | LineageError:
        try:
            sample = self.augmenter(spec.image, spec.rng(), spec.close_mosaic)
        except LineageError as error:
            return error
        return resize(sample, spec.size)


def _collate(samples: Sequence[Sample | LineageError]) -> Batch | LineageError:
    valid = [sample for sample in samples if isinstance(sample, Sample)]
    return next((sample for sample in samples if isinstance(sample, LineageError)), None) or collate(valid)


def _start_context() -> multiprocessing.context.BaseContext:
    """Return how workers are started: forked from a server with all imports and no threads, or else spawned.

    A fork of the training process itself could copy a lock that one of its threads holds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _init_worker(_: int) -> None:
    """Leave interrupts to the main process, and use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the training process ends, even if it was killed: torch only watches the fork server."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
