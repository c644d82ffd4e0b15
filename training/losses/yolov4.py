"""The criterion of YOLOv4: complete IoU for boxes, cross-entropies for the rest (arXiv:2004.10934, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.darknet import ScaledYOLOv4Head
from training.assign.anchor_slots import Predictions, SlotAssigner, SlotAssignment
from training.assign.best_anchor import BestAnchor
from training.batch import Targets
from training.boxes import ciou, iou
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.darknet import Reader, box_errors, cross_entropy, encode, negatives, shares


@dataclass(frozen=True)
class Gains:
    """How much each loss counts.

    smoothing: of class labels, towards 1/2. average: whether the box errors of a prediction that learns several objects
    are divided by how many classes these have (Darknet does where `iou_thresh` is below 1), or summed.
    """

    box: float = 0.07
    objectness: float = 1.0
    classes: float = 1.0
    smoothing: float = 0.0
    average: bool = True


class YOLOv4Criterion(Criterion):
    """Losses of YOLOv4 in Darknet, summed over the images of the batch.

    An object may be learned by several anchors, and a prediction may learn several objects and the classes of all. A
    prediction that overlaps an object is left alone if it also claims a class.

    measure: of the IoU family; None for YOLOv3's errors. Scaled-YOLOv4's heads learn, as objectness, how much they
    overlap their object, as its authors' PyTorch programs have it; Darknet's rule for them loses most objects.

    Where we differ: the gradient of a box is that of 1 - CIoU. Darknet's leaves out derivatives of the decoding and
    parts of those of CIoU, and clips the result.
    """

    claim = 0.25  # least class probability

    def __init__(
        self,
        detector: Detector,
        assigner: SlotAssigner | None = None,
        gains: Gains | None = None,
        measure: Callable[[Tensor, Tensor], Tensor] | None = ciou,
    ) -> None:
        super().__init__()
        self.read, self.gains, self.measure = Reader(detector), gains or Gains(), measure
        self.assigner = assigner or BestAnchor(ignore_above=0.7, also_above=0.213)
        self.scaled = isinstance(detector.head, ScaledYOLOv4Head)

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - always alike
        """Return the losses of raw maps (B, A, h, w, 5 + C)."""
        predictions = self.read(maps)
        targets = targets._replace(boxes=targets.boxes.to(predictions.raw))
        every = self.assigner(predictions, targets)
        every = every._replace(ignored=self._claimed(predictions, every.ignored))
        assigned, entry = every.merge()
        classes = predictions.classes(assigned.image, assigned.row)
        labels = torch.zeros_like(classes)
        labels[entry, targets.class_ids[every.target]] = 1
        smooth = labels * (1 - self.gains.smoothing) + self.gains.smoothing / 2
        errors = self._box_errors(predictions, every, targets)
        if self.gains.average:
            errors = errors / labels.sum(1)[entry]
        return Losses.of(
            {
                "box": self.gains.box * errors.sum(),
                "objectness": self.gains.objectness * self._objectness(predictions, assigned, targets),
                "classes": self.gains.classes * cross_entropy(classes, smooth).sum(),
            }
        )

    def _claimed(self, predictions: Predictions, ignored: Tensor) -> Tensor:
        """Return which of the ignored predictions (B, N) claim any class."""
        claimed = ignored.clone()
        claimed[ignored] = (predictions.classes(*ignored.nonzero(as_tuple=True)).sigmoid() > self.claim).any(1)
        return claimed

    def _box_errors(self, predictions: Predictions, assigned: SlotAssignment, targets: Targets) -> Tensor:
        """Return (P,): 1 - measure, of boxes as seen from the corner of their cell, where float32 is fine enough."""
        raw, truth = predictions.raw[assigned.image, assigned.row], targets.boxes[assigned.target]
        priors = predictions.priors[assigned.row]
        if self.measure is None:
            return (2 - shares(truth, predictions.levels)) * box_errors(raw, encode(truth, priors), cross_entropy)
        corner = priors[:, :2] * priors[:, 2:3]
        priors = torch.cat([torch.zeros_like(corner), priors[:, 2:]], dim=1)
        located = self.read.head.locate(raw[:, :4], priors)
        return 1 - self.measure(located, truth - corner.repeat(1, 2))

    def _objectness(self, predictions: Predictions, assigned: SlotAssignment, targets: Targets) -> Tensor:
        raw, place = predictions.raw[..., 4], (assigned.image, assigned.row)
        wanted = torch.ones_like(raw[place])
        if self.scaled:
            wanted = iou(predictions.boxes[place], targets.boxes[assigned.target])
        others = raw[negatives(assigned)]
        return cross_entropy(raw[place], wanted).sum() + cross_entropy(others, torch.zeros_like(others)).sum()
