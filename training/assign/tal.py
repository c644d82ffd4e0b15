"""Task-aligned assignment (TOOD, arXiv:2108.07755, section 3.2), as YOLOv6 takes it (arXiv:2209.02976, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.assign.cell_grids import Assignment, Grid, covered, settle, take
from training.batch import Targets
from training.boxes import iou

NOT_NOTHING = 1e-9  # keeps a quotient finite where nothing is aligned


@dataclass(frozen=True)
class TAL:
    """Assign by alignment = score^alpha x IoU^beta, of a prediction with an object and of its class.

    An object takes the `most` best aligned predictions among cells whose center is inside its box; one that several
    take goes to the object of the image that it overlaps most. Scores are alignments, scaled so that an object's best
    one is its best overlap.
    """

    most: int = 13
    alpha: float = 1.0
    beta: float = 6.0

    @torch.no_grad()
    def __call__(self, boxes: Tensor, classes: Tensor, grids: Sequence[Grid], targets: Targets) -> Assignment:
        """Return the assignment of boxes (B, N, 4) xyxy in pixels with class logits (B, N, C)."""

        def overlap(objects: Tensor, predictions: Tensor) -> Tensor:
            return iou(take(boxes, predictions), targets.boxes[objects])

        objects, places = covered(targets.boxes, grids).nonzero(as_tuple=True)
        predictions = targets.image_index[objects] * boxes.shape[1] + places
        aligned = self._alignment(classes, predictions, overlap(objects, predictions), targets.class_ids[objects])
        best = _best(aligned, objects, len(targets.boxes), self.most)
        chosen, owners = settle(predictions[best], objects[best], targets, boxes.shape[:2], overlap)
        overlaps = overlap(owners, chosen)
        aligned = self._alignment(classes, chosen, overlaps, targets.class_ids[owners])
        most_aligned, most_overlap = (_largest(x, owners, len(targets.boxes)) for x in (aligned, overlaps))
        return Assignment(chosen, owners, aligned / (most_aligned + NOT_NOTHING) * most_overlap)

    def _alignment(self, classes: Tensor, predictions: Tensor, overlaps: Tensor, class_ids: Tensor) -> Tensor:
        logits = classes[predictions // classes.shape[1], predictions % classes.shape[1], class_ids]
        return logits.sigmoid() ** self.alpha * overlaps**self.beta


def _best(values: Tensor, groups: Tensor, count: int, most: int) -> Tensor:
    """Return the positions of the `most` largest values of each group; groups come one after another."""
    sizes = groups.bincount(minlength=count)
    starts = sizes.cumsum(0) - sizes
    columns = torch.arange(len(values), device=values.device) - starts[groups]
    longest = int(sizes.max()) if count else 0
    table = values.new_full((count, longest), -torch.inf).index_put((groups, columns), values)
    column = table.topk(min(most, longest)).indices
    return (starts[:, None] + column)[column < sizes[:, None]]


def _largest(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Return for every value the largest of its group."""
    return values.new_zeros(count).scatter_reduce(0, groups, values, "amax")[groups]
