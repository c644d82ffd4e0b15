"""What the assigners of Darknet's anchor heads share: which row a cell and anchor is, and what an assignment says.

Predictions are the rows of `AnchorHead.rows`, N per image: level, anchor, y, x. A slot is an anchor of a level; there
are K in all, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from training.assign.anchor_ratio import Levels
from training.batch import Targets
from training.boxes import pairwise_iou

CHUNK = 16  # objects that are compared with all predictions of an image at a time: their overlaps stay in the cache


class Predictions(NamedTuple):
    """The predictions of a batch.

    raw: (B, N, 5), x, y, w, h, objectness as the head gives them. priors: (N, 5 or more), of the head. boxes: (B, N, 4)
    xyxy in pixels, without gradient. class_maps: (B, A, C, h, w) of each level, of which few are ever read.
    """

    raw: Tensor
    priors: Tensor
    boxes: Tensor
    levels: Levels
    class_maps: Sequence[Tensor]

    def classes(self, image: Tensor, row: Tensor) -> Tensor:
        """Return the class logits (P, C) of predictions (P,)."""
        counts = torch.tensor([m[0, :, 0].numel() for m in self.class_maps], device=row.device)
        ends = counts.cumsum(0)
        level = torch.bucketize(row, ends, right=True)
        order = level.argsort(stable=True)
        sizes = level.bincount(minlength=len(counts)).tolist()
        images, cells = image[order].split(sizes), (row - (ends - counts)[level])[order].split(sizes)
        parts = []
        for m, i, cell in zip(self.class_maps, images, cells, strict=True):
            height, width = m.shape[3:]
            parts.append(m[i, cell // (height * width), :, cell // width % height, cell % width])
        return torch.cat(parts)[order.argsort()]


class SlotAssignment(NamedTuple):
    """Which predictions learn which objects, and which learn nothing.

    image, row, target: int64 (P,) each; a prediction may learn several objects, of which the last counts most.
    ignored: bool (B, N), the predictions that are no negatives although they may learn no object either.
    """

    image: Tensor
    row: Tensor
    target: Tensor
    ignored: Tensor

    def merge(self) -> tuple[SlotAssignment, Tensor]:
        """Keep the last entry of each prediction; return these entries, and which of them each (P,) has become."""
        flat = self.image * self.ignored.shape[1] + self.row
        numbers = torch.arange(len(flat), device=flat.device)
        last = numbers.new_zeros(self.ignored.numel()).scatter_reduce_(0, flat, numbers, "amax")[flat]
        kept = last == numbers
        merged = SlotAssignment(self.image[kept], self.row[kept], self.target[kept], self.ignored)
        return merged, (kept.cumsum(0) - 1)[last]


class SlotAssigner(Protocol):
    """Decides by predicted boxes, by anchors, or by both."""

    def __call__(self, predictions: Predictions, targets: Targets) -> SlotAssignment:
        """Assign the objects of a batch."""
        ...


def slot_rows(levels: Levels, boxes: Tensor) -> Tensor:
    """Return, for each box (T, 4) and slot, the row (T, K) of the cell that holds the box's center.

    A center on or beyond the border counts to the nearest cell.
    """
    count = levels.anchors.shape[1]
    limits = levels.sizes.long()
    cells = ((boxes[:, None, :2] + boxes[:, None, 2:]) / 2 / levels.strides[:, None]).long()  # (T, L, 2)
    x, y = torch.minimum(cells.clamp(min=0), limits - 1).repeat_interleave(count, dim=1).unbind(-1)
    areas = limits.prod(1).repeat_interleave(count)
    return areas.cumsum(0) - areas + y * limits[:, 0].repeat_interleave(count) + x


def best_overlaps(boxes: Tensor, targets: Targets) -> Tensor:
    """Return the best IoU (B, N) of boxes (B, N, 4) with an object of their image, 0 where there is none."""
    best = boxes.new_zeros(boxes.shape[:2])
    for image, objects in enumerate(by_image(targets, len(boxes))):
        for start in range(0, len(objects), CHUNK):
            some = targets.boxes[objects[start : start + CHUNK]]
            best[image] = torch.maximum(best[image], pairwise_iou(some, boxes[image]).amax(0))
    return best


def by_image(targets: Targets, images: int) -> list[Tensor]:
    """Return, for each image, which of the targets are its objects."""
    counts = targets.image_index.bincount(minlength=images).tolist()
    return list(torch.arange(len(targets.boxes), device=targets.boxes.device).split(counts))
