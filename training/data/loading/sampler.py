"""Which images make up which batch: a matter of seed, epoch and step alone, whatever reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from numpy.random import Generator, default_rng

from model_zoo.contract.letterbox import Size
from training.recipe import Augmentation

ORDER, SIDE, SAMPLE = range(3)  # what chance is for: different uses of one seed must not meet


class Ticket(NamedTuple):
    """What one sample is made from; lap counts how often its image has been in the epoch before."""

    seed: int
    epoch: int
    image: int
    lap: int
    size: Size
    close_mosaic: bool

    def rng(self) -> Generator:
        """Return the source of all chance in the sample."""
        return default_rng((SAMPLE, self.seed, self.epoch, self.image, self.lap))


@dataclass(frozen=True)
class Sampler:
    """Deals the images of every epoch to the batches of one process.

    Every image comes in every epoch. The last batch is filled up from the beginning of the epoch's order, so all
    processes take as many steps, with whole batches. `world` processes share each step's images in the order in which
    one process with `world` times the batch would have them, `rank` taking its share.
    """

    images: int
    augmentation: Augmentation
    image_size: Size
    stride: int
    batch: int
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return math.ceil(self.images / (self.batch * self.world))

    def tickets(self, epoch: int, close_mosaic: bool, start_step: int = 0) -> list[list[Ticket]]:
        """List the batches of an epoch from `start_step` on."""
        order = default_rng((ORDER, self.seed, epoch)).permutation(self.images).tolist()
        return [
            [
                Ticket(self.seed, epoch, order[place % self.images], place // self.images, size, close_mosaic)
                for place in range(first, first + self.batch)
            ]
            for step in range(start_step, self.steps)
            for first, size in [((step * self.world + self.rank) * self.batch, self.size(epoch, step))]
        ]

    def size(self, epoch: int, step: int) -> Size:
        """Return the size (height, width) of a batch: the image size, or one near it in steps of the stride."""
        low, high = self._range
        if low >= high:
            return self.image_size
        rng = default_rng((SIDE, self.seed, epoch, step // self.augmentation.multi_scale_every))
        return self._in_strides(int(rng.integers(low, high, endpoint=True)))

    @property
    def largest_size(self) -> Size:
        """The largest size (height, width) that a batch can have."""
        low, high = self._range
        return self.image_size if low >= high else self._in_strides(high)

    @property
    def _range(self) -> tuple[int, int]:
        """The range of the longer side, in strides."""
        low, high = (share * max(self.image_size) / self.stride for share in self.augmentation.multi_scale)
        return math.ceil(low), math.floor(high)

    def _in_strides(self, strides: int) -> Size:
        height, width = (max(round(side * strides / max(self.image_size)), 1) * self.stride for side in self.image_size)
        return height, width
