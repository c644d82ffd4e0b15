"""Batches for training: read, varied and collated by worker processes, the same whatever their number."""

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
from training.config import Cache
from training.data.dataset import Split
from training.data.loading.image_cache import CachedImages, bytes_of
from training.data.loading.sampler import Sampler, Ticket
from training.recipe import Augmentation

PREFETCH = 2  # batches that each worker makes ahead
SHARED = Path("/dev/shm")  # where workers leave finished batches, on Linux


class TrainingLoader:
    """The batches of a training split, epoch by epoch.

    A sample is a matter of seed, epoch and image alone: the number of workers changes nothing, and an epoch can be
    taken up in its middle. How images are dealt to steps and processes: `Sampler`.
    """

    def __init__(
        self,
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
        """Make room for the images; workers start with the first epoch. LineageError for a split without images.

        batch: images of one step of this process. cache: where resized images are kept, see `CachedImages`.
        """
        if not split.records:
            raise LineageError(f"split {split.name!r}: expected images to train on; it has none")
        images = CachedImages(split.records, image_size, policy, cache, world)
        self._samples = _Samples(Augmenter(images, augmentation, image_size, policy))
        self._sampler = Sampler(len(images), augmentation, image_size, stride, batch, seed, rank, world)
        self._workers = workers
        self._tickets: list[list[Ticket]] = []
        self._batches: DataLoader[Sample | LineageError] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self._sampler.steps

    def epoch(self, epoch: int, close_mosaic: bool = False, start_step: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch from `start_step` on; without mosaic and mixup where `close_mosaic`.

        One epoch at a time. Raises LineageError for an image that is gone or damaged, and where workers lack room.
        """
        self._tickets[:] = self._sampler.tickets(epoch, close_mosaic, start_step)
        if self._batches is None:
            self._batches = self._start()
        for batch in self._batches:
            if isinstance(batch, LineageError):
                raise batch
            yield batch

    def close(self) -> None:
        """End the workers; another epoch would start them again."""
        self._batches = None

    def _start(self) -> DataLoader[Sample | LineageError]:
        """Set up the workers, which live for all epochs: each reads the tickets of a batch and gives that back."""
        workers = self._workers
        if workers:
            self._check_room()
        return DataLoader(
            self._samples,
            batch_sampler=self._tickets,
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_begin_worker,
            multiprocessing_context=_context() if workers else None,
            generator=torch.Generator(),  # or else each epoch would take a number from the one that all share
            prefetch_factor=PREFETCH if workers else None,
            persistent_workers=workers > 0,
        )

    def _check_room(self) -> None:
        """Raise LineageError where finished batches would not fit: the system would kill the workers without a word."""
        if not SHARED.is_dir():
            return
        needed = self._sampler.batch * bytes_of(self._sampler.largest_size) * (self._workers * PREFETCH + 1)
        free = shutil.disk_usage(SHARED).free
        if free < needed:
            raise LineageError(
                f"{SHARED}: expected {needed / 1e6:,.0f} MB free for the batches of {self._workers} workers; got "
                f"{free / 1e6:,.0f} MB; give the container more (docker run --shm-size), or use fewer workers"
            )


@dataclass(frozen=True)
class _Samples(Dataset[Sample | LineageError]):
    """Samples by their tickets; a user's mistake is a value here, since workers add tracebacks to what they raise."""

    augmenter: Augmenter

    def __getitem__(self, ticket: Ticket) -> Sample | LineageError:
        try:
            sample = self.augmenter(ticket.image, ticket.rng(), ticket.close_mosaic)
        except LineageError as error:
            return error
        return resize(sample, ticket.size)


def _collate(samples: Sequence[Sample | LineageError]) -> Batch | LineageError:
    whole = [sample for sample in samples if isinstance(sample, Sample)]
    return next((sample for sample in samples if isinstance(sample, LineageError)), None) or collate(whole)


def _context() -> multiprocessing.context.BaseContext:
    """Return how workers are started: from a server that has the imports done and no threads, where there can be one.

    A fork of the training process itself could copy a lock that one of its threads holds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin_worker(_: int) -> None:
    """Leave interrupts to the main process, which ends the workers, and the other cores to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with the training process, also where that was killed: torch watches the server alone, which waits for us."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
