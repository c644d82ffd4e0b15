"""What the rooms of training hand one another: images with their objects, alone and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with its objects.

    pixels: uint8 (H, W, 3) RGB. boxes: float32 (N, 4) xyxy in its pixels. class_ids: int64 (N,).
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]


class Targets(NamedTuple):
    """The objects of a batch, image by image, in each image's order.

    image_index: int64 (T,), rising, from 0. class_ids: int64 (T,). boxes: float (T, 4) xyxy in pixels of the canvas.
    """

    image_index: Tensor
    class_ids: Tensor
    boxes: Tensor

    def to(self, device: torch.device | str) -> Targets:
        """Return a copy on `device`."""
        return Targets(*(part.to(device, non_blocking=True) for part in self))


class Batch(NamedTuple):
    """What the network sees in one step: images uint8 (B, H, W, 3) RGB, and their objects."""

    images: Tensor
    targets: Targets


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size."""
    counts = torch.tensor([len(sample.boxes) for sample in samples])
    return Batch(
        torch.from_numpy(np.stack([sample.pixels for sample in samples])),
        Targets(
            torch.arange(len(samples)).repeat_interleave(counts),
            torch.from_numpy(np.concatenate([sample.class_ids for sample in samples])),
            torch.from_numpy(np.concatenate([sample.boxes for sample in samples])),
        ),
    )
