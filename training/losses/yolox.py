"""The criterion of YOLOX (arXiv:2107.08430): SimOTA, a squared IoU loss, classes that learn the overlap.

YOLOv6 0.1.0 has it too, with another measure of overlap and L1 from the first epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.cells import cell_priors
from model_zoo.heads.decoupled import DecoupledHead
from training.assign.cell_grids import grids_of, take
from training.assign.simota import Predictions, SimOTA
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy, iou, xyxy_to_cxcywh
from training.loop.distributed import average_over_ranks
from training.losses.criterion import Criterion, Losses, StepContext

BOX = 5.0  # weight of the box loss
MIN_SIZE = 1e-8  # of an object in cells, where its logarithm is taken


def squared_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU squared of boxes xyxy, row with row."""
    return iou(a, b).square()


class YOLOXCriterion(Criterion):
    """Losses 5 (1 - measure) of boxes, BCE of objectness and of classes, in the last epochs L1 of the raw boxes.

    Objectness is 1 where a prediction has an object, 0 elsewhere. The class of that object learns the overlap. All is
    summed and divided by the predictions that have objects. measure: of overlap, boxes xyxy row with row. always_l1:
    whether L1 counts in all epochs.
    """

    def __init__(
        self,
        detector: Detector,
        assign: SimOTA | None = None,
        measure: Callable[[Tensor, Tensor], Tensor] = squared_iou,
        *,
        always_l1: bool = False,
    ) -> None:
        super().__init__()
        head = detector.head
        assert isinstance(head, DecoupledHead)
        self.strides, self.assign, self.measure, self.always_l1 = head.strides, assign or SimOTA(), measure, always_l1

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:
        """Return the losses of raw maps (B, 5 + C, h, w); parts: box, objectness, classes, l1."""
        raw = torch.cat([m.flatten(2) for m in maps], dim=2).transpose(1, 2)
        priors = cell_priors(maps, self.strides).to(raw)
        targets = targets._replace(boxes=targets.boxes.to(raw))
        predictions = Predictions(_boxes(raw.detach(), priors), raw[..., 5:], raw[..., 4])
        predicted, objects, overlap = self.assign(predictions, grids_of(maps, self.strides), targets)
        count = average_over_ranks(raw.new_tensor(float(len(predicted)))).clamp(min=1)
        rows, places, wanted = take(raw, predicted), priors[predicted % len(priors)], targets.boxes[objects]
        classes = F.one_hot(targets.class_ids[objects], raw.shape[2] - 5) * overlap[:, None]
        with_object = torch.zeros_like(raw[..., 4]).flatten().index_fill(0, predicted, 1).view(raw.shape[:2])
        parts = {
            "box": BOX * (1 - self.measure(_boxes(rows, places), wanted)).sum(),
            "objectness": F.binary_cross_entropy_with_logits(raw[..., 4], with_object, reduction="sum"),
            "classes": F.binary_cross_entropy_with_logits(rows[:, 5:], classes, reduction="sum"),
            "l1": (rows[:, :4] - _raw_boxes(wanted, places)).abs().sum() * (context.close_mosaic or self.always_l1),
        }
        return Losses.of({name: part / count for name, part in parts.items()})


def _boxes(raw: Tensor, priors: Tensor) -> Tensor:
    """Decode raw numbers (..., R) at priors (..., 3) to boxes (..., 4) xyxy in pixels."""
    cells, strides = priors[..., :2], priors[..., 2:]
    return cxcywh_to_xyxy(torch.cat([raw[..., :2] + cells, raw[..., 2:4].exp()], dim=-1) * strides)


def _raw_boxes(boxes: Tensor, priors: Tensor) -> Tensor:
    """Return the raw numbers (P, 4) that decode to `boxes` at priors (P, 3)."""
    centers, sizes = (xyxy_to_cxcywh(boxes) / priors[:, 2:]).chunk(2, dim=1)
    return torch.cat([centers - priors[:, :2], (sizes + MIN_SIZE).log()], dim=1)
