"""The criterion of YOLOv1: squared errors throughout (arXiv:1506.02640, equation 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.grid import GridHead
from training.assign.responsible_cell import CellAssignment, ResponsiblePredictor
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy, iou, xyxy_to_cxcywh
from training.losses.criterion import Criterion, Losses, StepContext


@dataclass(frozen=True)
class Gains:
    """How much half of each squared error counts; the paper has no half, Darknet's gradients have.

    rescore: whether the confidence of a responsible predictor learns its overlap (the paper), or 1. roots: whether
    sizes are predicted as square roots.
    """

    box: float = 5.0
    object: float = 1.0
    no_object: float = 0.5
    classes: float = 1.0
    rescore: bool = True
    roots: bool = True


class YOLOv1Criterion(Criterion):
    """Losses of YOLOv1, summed over the images of the batch.

    Of the predictors, those responsible for an object learn its box and their overlap with it; the confidence of all
    others learns 0. Cells with an object learn its class.
    """

    def __init__(self, detector: Detector, gains: Gains | None = None) -> None:
        super().__init__()
        head = detector.head
        assert isinstance(head, GridHead)
        self.take_apart, self.cells, self.canvas = head.parts, head.cells, head.cells * head.strides[0]
        self.assigner, self.gains = ResponsiblePredictor(), gains or Gains()

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - always alike
        """Return the losses of the raw vector (B, S * S * (C + 5n))."""
        classes, confidences, boxes = self.take_apart(maps[0])
        targets = targets._replace(boxes=targets.boxes.to(boxes) / self.canvas)
        located = self._located(boxes.detach())
        assigned = self.assigner(located, self.cells, targets)
        image, cell, predictor, target = assigned
        overlap = iou(located[image, cell, predictor], targets.boxes[target])
        wanted = F.one_hot(targets.class_ids[target], classes.shape[-1]).to(classes)
        gains = self.gains
        return Losses.of(
            {
                "box": gains.box * _error(boxes[image, cell, predictor], self._encoded(assigned, targets)),
                "objectness": self._objectness(confidences, assigned, overlap),
                "classes": gains.classes * _error(classes[image, cell], wanted),
            }
        )

    def _objectness(self, confidences: Tensor, assigned: CellAssignment, overlap: Tensor) -> Tensor:
        place = (assigned.image, assigned.cell, assigned.predictor)
        wanted, gain = torch.zeros_like(confidences), torch.full_like(confidences, self.gains.no_object)
        wanted[place], gain[place] = overlap if self.gains.rescore else 1.0, self.gains.object
        return (gain * (confidences - wanted).square()).sum() / 2

    def _located(self, boxes: Tensor) -> Tensor:
        """Decode raw boxes (B, S * S, n, 4) to xyxy in shares of the canvas."""
        number = torch.arange(self.cells**2, device=boxes.device)
        corner = torch.stack([number % self.cells, number // self.cells], dim=1)[:, None]
        sizes = boxes[..., 2:].square() if self.gains.roots else boxes[..., 2:]
        return cxcywh_to_xyxy(torch.cat([(boxes[..., :2] + corner) / self.cells, sizes], dim=-1))

    def _encoded(self, assigned: CellAssignment, targets: Targets) -> Tensor:
        """Return what the raw boxes of assigned predictors should be (P, 4)."""
        truth = xyxy_to_cxcywh(targets.boxes[assigned.target])
        corner = torch.stack([assigned.cell % self.cells, assigned.cell // self.cells], dim=1)
        sizes = truth[:, 2:].sqrt() if self.gains.roots else truth[:, 2:]
        return torch.cat([truth[:, :2] * self.cells - corner, sizes], dim=1)


def _error(came: Tensor, wanted: Tensor) -> Tensor:
    return (came - wanted).square().sum() / 2
