"""Predictions of Darknet's anchor heads, as their assigners use them.

Predictions are the rows of `AnchorHead.rows`, N per image, ordered by level, anchor, y, x. A slot is one anchor of one
level; there are K in all, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from training.assign.base import AnchorLevels, RowAssignment, split_by_image
from training.batch import Targets
from training.boxes import pairwise_iou

CHUNK_OBJECTS = 16  # compared with all predictions of an image at a time, so that their IoUs stay in the CPU cache


class AnchorPredictions(NamedTuple):
    """Predictions of a batch."""

    raw: Tensor
    """x, y, w, h and objectness before decoding, (B, N, 5)."""
    priors: Tensor
    """Priors of the head, (N, 5 or more)."""
    boxes: Tensor
    """Decoded boxes (B, N, 4), xyxy in pixels, without gradient."""
    levels: AnchorLevels
    """Grids and anchors of the head."""
    class_maps: Sequence[Tensor]
    """Class logits (B, A, C, h, w) of each level, of which losses read few."""

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


class RowAssigner(Protocol):
    """Assigns by predicted boxes, by anchors, or by both."""

    def __call__(self, predictions: AnchorPredictions, targets: Targets) -> RowAssignment:
        """Assign the objects of a batch."""
        ...


def slot_rows(levels: AnchorLevels, boxes: Tensor) -> Tensor:
    """Return, for each box (T, 4) and slot, the row (T, K) of the cell that contains the box's center.

    A center on or beyond the border of the image counts for the nearest cell.
    """
    count = levels.anchors.shape[1]
    sizes = levels.sizes.long()
    cells = ((boxes[:, None, :2] + boxes[:, None, 2:]) / 2 / levels.strides[:, None]).long()  # (T, L, 2)
    x, y = torch.minimum(cells.clamp(min=0), sizes - 1).repeat_interleave(count, dim=1).unbind(-1)
    areas = sizes.prod(1).repeat_interleave(count)
    return areas.cumsum(0) - areas + y * sizes[:, 0].repeat_interleave(count) + x


def max_overlaps(boxes: Tensor, targets: Targets) -> Tensor:
    """Return the highest IoU (B, N) of boxes (B, N, 4) with an object of their image, 0 if there is none."""
    highest = boxes.new_zeros(boxes.shape[:2])
    for image, objects in enumerate(split_by_image(targets, len(boxes))):
        for chunk in objects.split(CHUNK_OBJECTS) if len(objects) else ():
            overlaps = pairwise_iou(targets.boxes[chunk], boxes[image])
            highest[image] = torch.maximum(highest[image], overlaps.amax(0))
    return highest
