"""The four kinds of assignment, and what assigners share.

An assigner decides which predictions learn which objects. All assignments use the same words:

    image                 index of an image in the batch
    target                index of an object in `Targets`
    row                   index of a prediction among the N of its image, in the order of `Head.rows`
    level, anchor, y, x   the same prediction, by its position in the raw maps of an anchor head
    cell, predictor       the same prediction, in YOLOv1's grid: cell y * S + x, and the box within the cell

    Kind               Generation   Objects per prediction   Predictions without object
    CellAssignment     v1           one                      negative
    RowAssignment      v2, v3, v4   several                  negative or ignored
    AnchorAssignment   v5, v7       several                  negative
    ScoredAssignment   X, v6        one                      negative

A negative prediction learns that there is no object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.batch import Targets

MAX_PAIRS = 1 << 20  # pairs of an object and a prediction computed at a time: bounds the memory of a crowded batch


class CellAssignment(NamedTuple):
    """Assignment of YOLOv1: one entry per cell that contains an object."""

    image: Tensor
    """Image index, int64 (P,)."""
    cell: Tensor
    """Cell that contains the center of the object, int64 (P,)."""
    predictor: Tensor
    """Box of the cell that is responsible for the object, int64 (P,)."""
    target: Tensor
    """Object index, int64 (P,)."""


class RowAssignment(NamedTuple):
    """Assignment of Darknet's anchor heads: pairs of a prediction and an object, in any order.

    If a prediction has several objects, its box learns the last one.
    """

    image: Tensor
    """Image index, int64 (P,)."""
    row: Tensor
    """Prediction index within the image, int64 (P,)."""
    target: Tensor
    """Object index, int64 (P,)."""
    ignored: Tensor
    """Mask (B, N) of predictions whose objectness learns nothing unless they have an object."""

    def merge(self) -> tuple[RowAssignment, Tensor]:
        """Return the last entry of each prediction, and for every entry the index (P,) of the one kept instead."""
        flat = self.image * self.ignored.shape[1] + self.row
        index = torch.arange(len(flat), device=flat.device)
        last = index.new_zeros(self.ignored.numel()).scatter_reduce_(0, flat, index, "amax")[flat]
        kept = last == index
        merged = RowAssignment(self.image[kept], self.row[kept], self.target[kept], self.ignored)
        return merged, (kept.cumsum(0) - 1)[last]


class AnchorAssignment(NamedTuple):
    """Assignment of YOLOv5 and YOLOv7: pairs of a prediction and an object, in ascending order of levels.

    The raw numbers of an entry are maps[level][image, anchor, y, x]. A prediction may have several entries.
    """

    level: Tensor
    """Level index, int64 (P,)."""
    image: Tensor
    """Image index, int64 (P,)."""
    anchor: Tensor
    """Anchor index within the level, int64 (P,)."""
    y: Tensor
    """Grid row of the cell, int64 (P,)."""
    x: Tensor
    """Grid column of the cell, int64 (P,)."""
    target: Tensor
    """Object index, int64 (P,)."""

    def select(self, index: Tensor) -> AnchorAssignment:
        """Return the entries of an index or a mask."""
        return AnchorAssignment(*(column[index] for column in self))


class ScoredAssignment(NamedTuple):
    """Assignment of heads without anchors: one entry per prediction with an object, sorted by image and row."""

    image: Tensor
    """Image index, int64 (P,)."""
    row: Tensor
    """Prediction index within the image, int64 (P,)."""
    target: Tensor
    """Object index, int64 (P,)."""
    score: Tensor
    """Score that the class of the object learns, float (P,)."""


class AnchorLevels(NamedTuple):
    """Grids and anchors of an anchor head, for images of one size."""

    anchors: Tensor
    """Width and height in pixels, (L, A, 2)."""
    strides: Tensor
    """Pixels per cell, (L,)."""
    sizes: Tensor
    """Width and height in cells, (L, 2)."""

    @classmethod
    def of(cls, maps: Sequence[Tensor], anchors: Tensor, strides: Sequence[int]) -> AnchorLevels:
        """Describe raw maps (B, A, h, w, 5 + C), in their dtype and on their device."""
        like = maps[0]
        sizes = [(m.shape[3], m.shape[2]) for m in maps]
        return cls(anchors.to(like), like.new_tensor(strides), like.new_tensor(sizes))


def gather(maps: Sequence[Tensor], assigned: AnchorAssignment) -> Tensor:
    """Return the numbers (P, N) of assigned predictions in maps (B, A, N, h, w). Entries must be sorted by level."""
    counts = torch.bincount(assigned.level, minlength=len(maps)).tolist()
    columns = (assigned.image, assigned.anchor, assigned.y, assigned.x)
    levels = zip(maps, *(column.split(counts) for column in columns), strict=True)
    return torch.cat([m[image, anchor, :, y, x] for m, image, anchor, y, x in levels])


def as_convolved(raw_map: Tensor) -> Tensor:
    """View a raw map (B, A, h, w, 5 + C) in the layout of its convolution, (B, A, 5 + C, h, w).

    Gradients have the layout of the tensor that is indexed. In the convolution's own they need no transposition, which
    would take longer than all the losses.
    """
    return raw_map.movedim(4, 2)


def split_by_image(targets: Targets, images: int) -> list[Tensor]:
    """Return the indices of each image's objects."""
    counts = targets.image_index.bincount(minlength=images).tolist()
    return list(torch.arange(len(targets.boxes), device=targets.boxes.device).split(counts))


def resolve_conflicts(
    image: Tensor,
    row: Tensor,
    target: Tensor,
    targets: Targets,
    shape: Sequence[int],
    measure: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign every claimed prediction to one object. Return image, row and target (P,), sorted by image and row.

    A prediction claimed once keeps its object. One claimed by several goes to the object of its image with the highest
    measure, even if that object did not claim it.

    Args:
        image: Image of each claim, int64 (P,).
        row: Claimed prediction within the image, int64 (P,).
        target: Object that claims it, int64 (P,).
        targets: Objects of the batch.
        shape: Images of the batch, and predictions of each.
        measure: Called with image, row and target, index tensors that broadcast.
    """
    images, rows = shape
    flat = image * rows + row
    claims = flat.bincount(minlength=images * rows)
    owner = torch.zeros_like(claims).index_put((flat,), target)
    counts = targets.image_index.bincount(minlength=images)
    starts, rivals = counts.cumsum(0) - counts, torch.arange(max(int(counts.max()), 1), device=counts.device)
    for contested in (claims > 1).nonzero()[:, 0].split(max(MAX_PAIRS // len(rivals), 1)):
        image, row = contested[:, None] // rows, contested[:, None] % rows
        candidates = (starts[image] + rivals).clamp(max=len(targets.boxes) - 1)
        measured = measure(image, row, candidates).masked_fill(rivals >= counts[image], -torch.inf)
        owner[contested] = starts[image[:, 0]] + measured.argmax(1)
    claimed = claims.nonzero()[:, 0]
    return claimed // rows, claimed % rows, owner[claimed]
