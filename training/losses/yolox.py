"""The criterion of YOLOX (arXiv:2107.08430): SimOTA, a squared IoU loss, class labels weighted by IoU.

YOLOv6 0.1.0 uses it too, with another measure of overlap and with L1 from the first epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.decoupled import DecoupledHead
from training.assign.cell_grids import make_grids
from training.assign.simota import CellPredictions, SimOTA
from training.batch import Targets
from training.boxes import iou, xyxy_to_cxcywh
from training.loop.distributed import average_over_ranks
from training.losses.criterion import Criterion, Losses, StepContext

BOX = 5.0  # weight of the box loss
EPSILON = 1e-8  # added to the size of an object in cells, as 0 has no logarithm


def squared_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared IoU of boxes xyxy, row by row."""
    return iou(a, b).square()


class YOLOXCriterion(Criterion):
    """Losses 5 (1 - measure) of boxes, BCE of objectness and classes, and L1 of raw boxes once mosaic is closed.

    Objectness is 1 for predictions with an object and 0 elsewhere. The class of the object learns the IoU. All losses
    are summed and divided by the number of predictions with an object.

    Args:
        detector: Detector to train.
        assigner: Assigner.
        measure: Measure of the IoU family.
        always_l1: Whether to use L1 in all epochs.
    """

    def __init__(
        self,
        detector: Detector,
        assigner: SimOTA | None = None,
        measure: Callable[[Tensor, Tensor], Tensor] = squared_iou,
        *,
        always_l1: bool = False,
    ) -> None:
        super().__init__()
        head = detector.head
        assert isinstance(head, DecoupledHead)
        self.rows, self.priors, self.locate, self.strides = head.rows, head.priors, head.locate, head.strides
        self.assigner, self.measure, self.always_l1 = assigner or SimOTA(), measure, always_l1

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        """Return the losses of raw maps (B, 5 + C, h, w): box, objectness, classes, l1."""
        raw, priors = self.rows(maps), self.priors(maps).to(maps[0])
        targets = targets._replace(boxes=targets.boxes.to(raw))
        predictions = CellPredictions(self.locate(raw[..., :4].detach(), priors), raw[..., 5:], raw[..., 4])
        image, row, target, overlap = self.assigner(predictions, make_grids(maps, self.strides), targets)
        count = average_over_ranks(raw.new_tensor(float(len(row)))).clamp(min=1)
        positive, priors, truth = raw[image, row], priors[row], targets.boxes[target]
        labels = F.one_hot(targets.class_ids[target], raw.shape[2] - 5) * overlap[:, None]
        has_object = torch.zeros_like(raw[..., 4])
        has_object[image, row] = 1
        parts = {
            "box": BOX * (1 - self.measure(self.locate(positive[:, :4], priors), truth)).sum(),
            "objectness": F.binary_cross_entropy_with_logits(raw[..., 4], has_object, reduction="sum"),
            "classes": F.binary_cross_entropy_with_logits(positive[:, 5:], labels, reduction="sum"),
            "l1": (positive[:, :4] - _encode(truth, priors)).abs().sum() * (context.close_mosaic or self.always_l1),
        }
        return Losses.of({name: part / count for name, part in parts.items()})


def _encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Return the raw numbers (P, 4) that decode to boxes (P, 4) at priors (P, 3)."""
    centers, sizes = (xyxy_to_cxcywh(boxes) / priors[:, 2:]).chunk(2, dim=1)
    return torch.cat([centers - priors[:, :2], (sizes + EPSILON).log()], dim=1)
