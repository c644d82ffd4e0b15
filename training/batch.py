"""Data types passed between loader, augmentation and training loop: single images with objects, and batches of them."""

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
    """An image with its objects."""

    pixels: NDArray[np.uint8]
    """RGB image (H, W, 3)."""
    boxes: NDArray[np.float32]
    """Boxes (N, 4), xyxy in pixels of the image."""
    class_ids: NDArray[np.int64]
    """Class of each box (N,)."""


class Targets(NamedTuple):
    """Objects of a batch, grouped by image."""

    image_index: Tensor
    """Index in the batch of the image of each object, int64 (T,), ascending."""
    class_ids: Tensor
    """Class of each object, int64 (T,)."""
    boxes: Tensor
    """Boxes, float (T, 4), xyxy in pixels of the canvas."""

    def to(self, device: torch.device | str) -> Targets:
        """Return a copy on `device`."""
        return Targets(*(tensor.to(device, non_blocking=True) for tensor in self))


class Batch(NamedTuple):
    """Images of one step with their objects."""

    images: Tensor
    """RGB images, uint8 (B, H, W, 3)."""
    targets: Targets
    """Objects of all images."""


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of equal image size into a batch."""
    counts = torch.tensor([len(sample.boxes) for sample in samples])
    return Batch(
        torch.from_numpy(np.stack([sample.pixels for sample in samples])),
        Targets(
            torch.arange(len(samples)).repeat_interleave(counts),
            torch.from_numpy(np.concatenate([sample.class_ids for sample in samples])),
            torch.from_numpy(np.concatenate([sample.boxes for sample in samples])),
        ),
    )
