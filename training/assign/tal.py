"""Task-aligned assignment (TOOD, arXiv:2108.07755, section 3.2), as in YOLOv6 (arXiv:2209.02976, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.base import ScoredAssignment, resolve_conflicts
from training.assign.cell_grids import Grid, inside_boxes
from training.batch import Targets
from training.boxes import iou

EPSILON = 1e-9  # keeps a quotient finite if nothing is aligned


@dataclass(frozen=True)
class TAL:
    """Assign by alignment = score^alpha * IoU^beta of a prediction with an object and its class.

    An object claims the predictions of highest alignment among cells whose center is inside its box. A prediction with
    several claims goes to the object of the image that it overlaps most. Scores are alignments, scaled so that the
    highest of an object equals its highest IoU.
    """

    top_k: int = 13
    """Predictions that an object claims, at most."""
    alpha: float = 1.0
    """Exponent of the class score."""
    beta: float = 6.0
    """Exponent of the IoU."""

    @torch.no_grad()
    def __call__(self, boxes: Tensor, logits: Tensor, grids: Sequence[Grid], targets: Targets) -> ScoredAssignment:
        """Return the assignment of predicted boxes (B, N, 4), xyxy in pixels, with class logits (B, N, C)."""

        def overlap(image: Tensor, row: Tensor, target: Tensor) -> Tensor:
            return iou(boxes[image, row], targets.boxes[target])

        def alignment(image: Tensor, row: Tensor, target: Tensor, overlaps: Tensor) -> Tensor:
            scores = logits[image, row, targets.class_ids[target]].sigmoid()
            return scores**self.alpha * overlaps**self.beta

        count = len(targets.boxes)
        target, row = inside_boxes(targets.boxes, grids).nonzero(as_tuple=True)
        claims = targets.image_index[target], row, target
        best = _top_k(alignment(*claims, overlap(*claims)), target, count, self.top_k)
        claims = claims[0][best], row[best], target[best]
        assigned = resolve_conflicts(*claims, targets, boxes.shape[:2], overlap)
        overlaps = overlap(*assigned)
        aligned = alignment(*assigned, overlaps)
        max_aligned, max_overlap = (_group_max(x, assigned[2], count) for x in (aligned, overlaps))
        return ScoredAssignment(*assigned, aligned / (max_aligned + EPSILON) * max_overlap)


def _top_k(values: Tensor, groups: Tensor, count: int, k: int) -> Tensor:
    """Return the indices of the `k` largest values of each of `count` groups. `groups` is sorted."""
    sizes = groups.bincount(minlength=count)
    starts = sizes.cumsum(0) - sizes
    columns = torch.arange(len(values), device=values.device) - starts[groups]
    width = int(sizes.max()) if count else 0
    table = values.new_full((count, width), -torch.inf).index_put((groups, columns), values)
    column = table.topk(min(k, width)).indices
    return (starts[:, None] + column)[column < sizes[:, None]]


def _group_max(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Return the largest value of each value's group."""
    return values.new_zeros(count).scatter_reduce(0, groups, values, "amax")[groups]
