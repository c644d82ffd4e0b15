"""The criterion of YOLOv3: cross-entropies of center, objectness and every class (arXiv:1804.02767, 2.1 and 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_slots import RowAssigner
from training.assign.best_anchor import BestAnchor
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import Reader, area_fractions, box_errors, cross_entropy, encode, negative_mask


class YOLOv3Criterion(Criterion):
    """Losses of YOLOv3 in Darknet, summed over the images of the batch.

    Small boxes have a higher weight, up to twice that of a box that fills the canvas. A prediction assigned to several
    objects learns the box of the last and the classes of all.
    """

    def __init__(self, detector: Detector, assigner: RowAssigner | None = None) -> None:
        super().__init__()
        self.read, self.assigner = Reader(detector), assigner or BestAnchor()

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - every step alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        predictions = self.read(maps)
        raw, priors, _, levels, _ = predictions
        targets = targets._replace(boxes=targets.boxes.to(raw))
        pairs = self.assigner(predictions, targets)
        assigned, entry = pairs.merge()
        image, row, target, _ = assigned
        positive, truth, classes = raw[image, row], targets.boxes[target], predictions.classes(image, row)
        errors = box_errors(positive, encode(truth, priors[row]), cross_entropy)
        labels = torch.zeros_like(classes)
        labels[entry, targets.class_ids[pairs.target]] = 1
        negative = raw[..., 4][negative_mask(assigned)]
        objectness = torch.cat([F.softplus(-positive[:, 4]), F.softplus(negative)])
        return Losses.of(
            {
                "box": ((2 - area_fractions(truth, levels)) * errors).sum(),
                "objectness": objectness.sum(),
                "classes": cross_entropy(classes, labels).sum(),
            }
        )
