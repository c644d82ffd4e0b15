"""The criterion of YOLOv3: cross-entropies of center, objectness and every class (arXiv:1804.02767, 2.1 and 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_slots import SlotAssigner
from training.assign.best_anchor import BestAnchor
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import Reader, box_errors, cross_entropy, encode, negatives, shares


class YOLOv3Criterion(Criterion):
    """Losses of YOLOv3 in Darknet, summed over the images of the batch.

    Small boxes count more, up to twice as much as one that fills the canvas. A prediction that learns several objects
    has the box of the last and the classes of all.
    """

    def __init__(self, detector: Detector, assigner: SlotAssigner | None = None) -> None:
        super().__init__()
        self.read, self.assigner = Reader(detector), assigner or BestAnchor()

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - always alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        predictions = self.read(maps)
        raw, priors, _, levels, _ = predictions
        targets = targets._replace(boxes=targets.boxes.to(raw))
        every = self.assigner(predictions, targets)
        assigned, entry = every.merge()
        image, row, target, _ = assigned
        learning, truth, classes = raw[image, row], targets.boxes[target], predictions.classes(image, row)
        errors = box_errors(learning, encode(truth, priors[row]), cross_entropy)
        labels = torch.zeros_like(classes)
        labels[entry, targets.class_ids[every.target]] = 1
        others = raw[..., 4][negatives(assigned)]
        objectness = torch.cat([F.softplus(-learning[:, 4]), F.softplus(others)])
        return Losses.of(
            {
                "box": ((2 - shares(truth, levels)) * errors).sum(),
                "objectness": objectness.sum(),
                "classes": cross_entropy(classes, labels).sum(),
            }
        )
