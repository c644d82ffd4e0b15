"""Select the images, sizes and random seeds of every batch from seed, epoch and step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from numpy.random import Generator, default_rng

from model_zoo.contract.letterbox import Size
from training.recipe import Augmentation

ORDER, SIZE, SAMPLE = range(3)  # independent random streams of one seed


class SampleSpec(NamedTuple):
    """Everything that determines one training sample."""

    seed: int
    """Seed of the run."""
    epoch: int
    """Epoch."""
    image: int
    """Index of the image."""
    repeat: int
    """Number of earlier uses of the image in the epoch."""
    size: Size
    """Height and width of the sample."""
    close_mosaic: bool
    """Whether mosaic and mixup are off."""

    def rng(self) -> Generator:
        """Return the random generator of the sample."""
        return default_rng((SAMPLE, self.seed, self.epoch, self.image, self.repeat))


@dataclass(frozen=True)
class BatchSampler:
    """Deal the images of every epoch to the batches of one rank.

    Every image occurs in every epoch. The last batch is filled from the start of the epoch's order, so that all ranks
    take the same number of steps with full batches. The ranks split each step's images in the order in which a single
    process with `world` times the batch size would see them.
    """

    images: int
    """Number of images."""
    augmentation: Augmentation
    """Augmentation, of which the multi-scale range is used."""
    image_size: Size
    """Height and width of the network input."""
    stride: int
    """Step of image sizes."""
    batch: int
    """Batch size of this rank."""
    seed: int
    """Seed of the run."""
    rank: int = 0
    """Rank of this process."""
    world: int = 1
    """Number of ranks."""

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return math.ceil(self.images / (self.batch * self.world))

    def batches(self, epoch: int, close_mosaic: bool, start_step: int = 0) -> list[list[SampleSpec]]:
        """Return the samples of each batch of an epoch, from `start_step` on."""
        order = default_rng((ORDER, self.seed, epoch)).permutation(self.images).tolist()
        return [
            [
                SampleSpec(self.seed, epoch, order[i % self.images], i // self.images, size, close_mosaic)
                for i in range(first, first + self.batch)
            ]
            for step in range(start_step, self.steps)
            for first, size in [((step * self.world + self.rank) * self.batch, self.size(epoch, step))]
        ]

    def size(self, epoch: int, step: int) -> Size:
        """Return the height and width of a batch: the image size, or a multi-scale size near it."""
        low, high = self._range
        if low >= high:
            return self.image_size
        rng = default_rng((SIZE, self.seed, epoch, step // self.augmentation.multi_scale_every))
        return self._from_strides(int(rng.integers(low, high, endpoint=True)))

    @property
    def largest_size(self) -> Size:
        """Largest height and width of a batch."""
        low, high = self._range
        return self.image_size if low >= high else self._from_strides(high)

    @property
    def _range(self) -> tuple[int, int]:
        """Range of the longer side in strides."""
        low, high = (factor * max(self.image_size) / self.stride for factor in self.augmentation.multi_scale)
        return math.ceil(low), math.floor(high)

    def _from_strides(self, strides: int) -> Size:
        height, width = (max(round(side * strides / max(self.image_size)), 1) * self.stride for side in self.image_size)
        return height, width
