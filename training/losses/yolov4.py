"""The criterion of YOLOv4: complete IoU for boxes, cross-entropies for the rest (arXiv:2004.10934, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.darknet import ScaledYOLOv4Head
from training.assign.anchor_slots import AnchorPredictions, RowAssigner
from training.assign.base import RowAssignment
from training.assign.best_anchor import BestAnchor
from training.batch import Targets
from training.boxes import ciou, iou
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import Reader, area_fractions, box_errors, cross_entropy, encode, negative_mask


@dataclass(frozen=True)
class Gains:
    """Weights of the losses."""

    box: float = 0.07
    """Weight of boxes."""
    objectness: float = 1.0
    """Weight of objectness."""
    classes: float = 1.0
    """Weight of classes."""
    smoothing: float = 0.0
    """Smoothing of class labels towards 1/2."""
    average: bool = True
    """Whether to divide the box errors of a prediction by its number of classes (Darknet if `iou_thresh` < 1)."""


class YOLOv4Criterion(Criterion):
    """Losses of YOLOv4 in Darknet, summed over the images of the batch.

    An object may be learned by several anchors. A prediction may learn several objects, and the classes of all. An
    unassigned prediction with a high IoU is ignored if the probability of any class is above `ignore_score`.

    The objectness of Scaled-YOLOv4's heads learns the IoU with the object, as in its authors' PyTorch programs. With
    Darknet's rule these heads lose most objects.

    Where we differ: the gradient of a box is that of 1 - CIoU. Darknet's leaves out derivatives of the decoding and
    parts of those of CIoU, and clips the result.

    Args:
        detector: Detector to train.
        assigner: Assigner.
        gains: Weights of the losses.
        measure: Measure of the IoU family, or None for YOLOv3's errors.
    """

    ignore_score = 0.25

    def __init__(
        self,
        detector: Detector,
        assigner: RowAssigner | None = None,
        gains: Gains | None = None,
        measure: Callable[[Tensor, Tensor], Tensor] | None = ciou,
    ) -> None:
        super().__init__()
        self.read, self.gains, self.measure = Reader(detector), gains or Gains(), measure
        self.assigner = assigner or BestAnchor(ignore_above=0.7, also_above=0.213)
        self.scaled = isinstance(detector.head, ScaledYOLOv4Head)

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - every step alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        predictions = self.read(maps)
        targets = targets._replace(boxes=targets.boxes.to(predictions.raw))
        pairs = self.assigner(predictions, targets)
        pairs = pairs._replace(ignored=self._with_class(predictions, pairs.ignored))
        assigned, entry = pairs.merge()
        classes = predictions.classes(assigned.image, assigned.row)
        labels = torch.zeros_like(classes)
        labels[entry, targets.class_ids[pairs.target]] = 1
        smooth = labels * (1 - self.gains.smoothing) + self.gains.smoothing / 2
        errors = self._box_errors(predictions, pairs, targets)
        if self.gains.average:
            errors = errors / labels.sum(1)[entry]
        return Losses.of(
            {
                "box": self.gains.box * errors.sum(),
                "objectness": self.gains.objectness * self._objectness(predictions, assigned, targets),
                "classes": self.gains.classes * cross_entropy(classes, smooth).sum(),
            }
        )

    def _with_class(self, predictions: AnchorPredictions, ignored: Tensor) -> Tensor:
        """Restrict the mask of ignored predictions (B, N) to those with a class above `ignore_score`."""
        mask = ignored.clone()
        scores = predictions.classes(*ignored.nonzero(as_tuple=True)).sigmoid()
        mask[ignored] = (scores > self.ignore_score).any(1)
        return mask

    def _box_errors(self, predictions: AnchorPredictions, assigned: RowAssignment, targets: Targets) -> Tensor:
        """Return 1 - measure (P,), of boxes relative to the corner of their cell, where float32 is precise enough."""
        raw, truth = predictions.raw[assigned.image, assigned.row], targets.boxes[assigned.target]
        priors = predictions.priors[assigned.row]
        if self.measure is None:
            weights = 2 - area_fractions(truth, predictions.levels)
            return weights * box_errors(raw, encode(truth, priors), cross_entropy)
        corner = priors[:, :2] * priors[:, 2:3]
        priors = torch.cat([torch.zeros_like(corner), priors[:, 2:]], dim=1)
        boxes = self.read.head.locate(raw[:, :4], priors)
        return 1 - self.measure(boxes, truth - corner.repeat(1, 2))

    def _objectness(self, predictions: AnchorPredictions, assigned: RowAssignment, targets: Targets) -> Tensor:
        raw, index = predictions.raw[..., 4], (assigned.image, assigned.row)
        goals = torch.ones_like(raw[index])
        if self.scaled:
            goals = iou(predictions.boxes[index], targets.boxes[assigned.target])
        negative = raw[negative_mask(assigned)]
        return cross_entropy(raw[index], goals).sum() + cross_entropy(negative, torch.zeros_like(negative)).sum()
