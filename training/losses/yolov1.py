"""The criterion of YOLOv1: squared errors throughout (arXiv:1506.02640, equation 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.heads.grid import GridHead
from training.assign.base import CellAssignment
from training.assign.responsible_cell import ResponsiblePredictor
from training.batch import Targets
from training.boxes import cxcywh_to_xyxy, iou, xyxy_to_cxcywh
from training.losses.criterion import Criterion, Losses, StepContext


@dataclass(frozen=True)
class Gains:
    """Weights of half of each squared error. The paper has no factor of 1/2, but Darknet's gradients have."""

    box: float = 5.0
    """Weight of boxes."""
    object: float = 1.0
    """Weight of the confidence of predictors with an object."""
    no_object: float = 0.5
    """Weight of the confidence of all other predictors."""
    classes: float = 1.0
    """Weight of classes."""
    rescore: bool = True
    """Whether the confidence of a predictor with an object learns their IoU (the paper), or 1."""
    roots: bool = True
    """Whether widths and heights are predicted as square roots."""


class YOLOv1Criterion(Criterion):
    """Losses of YOLOv1, summed over the images of the batch.

    A predictor responsible for an object learns its box, and their IoU as confidence. The confidence of all others
    learns 0. Cells with an object learn its class.
    """

    def __init__(self, detector: Detector, gains: Gains | None = None) -> None:
        super().__init__()
        head = detector.head
        assert isinstance(head, GridHead)
        self.split, self.cells, self.canvas = head.split, head.cells, head.cells * head.strides[0]
        self.assigner, self.gains = ResponsiblePredictor(), gains or Gains()

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - every step alike
        """Return the losses of the raw vector (B, S * S * (C + 5n))."""
        classes, confidences, boxes = self.split(maps[0])
        targets = targets._replace(boxes=targets.boxes.to(boxes) / self.canvas)
        located = self._locate(boxes.detach())
        assigned = self.assigner(located, self.cells, targets)
        image, cell, predictor, target = assigned
        overlap = iou(located[image, cell, predictor], targets.boxes[target])
        one_hot = F.one_hot(targets.class_ids[target], classes.shape[-1]).to(classes)
        gains = self.gains
        return Losses.of(
            {
                "box": gains.box * _squared_error(boxes[image, cell, predictor], self._encode(assigned, targets)),
                "objectness": self._objectness(confidences, assigned, overlap),
                "classes": gains.classes * _squared_error(classes[image, cell], one_hot),
            }
        )

    def _objectness(self, confidences: Tensor, assigned: CellAssignment, overlap: Tensor) -> Tensor:
        index = (assigned.image, assigned.cell, assigned.predictor)
        goals, gain = torch.zeros_like(confidences), torch.full_like(confidences, self.gains.no_object)
        goals[index], gain[index] = overlap if self.gains.rescore else 1.0, self.gains.object
        return (gain * (confidences - goals).square()).sum() / 2

    def _locate(self, boxes: Tensor) -> Tensor:
        """Decode raw boxes (B, S * S, n, 4) to xyxy relative to the canvas.

        Not `GridHead.locate`: that decodes to pixels, and always from square roots. Errors and IoUs of YOLOv1 are
        relative to the canvas, and in pixels they would be rounded differently.
        """
        index = torch.arange(self.cells**2, device=boxes.device)
        cell = torch.stack([index % self.cells, index // self.cells], dim=1)[:, None]
        sizes = boxes[..., 2:].square() if self.gains.roots else boxes[..., 2:]
        return cxcywh_to_xyxy(torch.cat([(boxes[..., :2] + cell) / self.cells, sizes], dim=-1))

    def _encode(self, assigned: CellAssignment, targets: Targets) -> Tensor:
        """Return the goals (P, 4) of the raw boxes of assigned predictors."""
        truth = xyxy_to_cxcywh(targets.boxes[assigned.target])
        cell = torch.stack([assigned.cell % self.cells, assigned.cell // self.cells], dim=1)
        sizes = truth[:, 2:].sqrt() if self.gains.roots else truth[:, 2:]
        return torch.cat([truth[:, :2] * self.cells - cell, sizes], dim=1)


def _squared_error(predicted: Tensor, goals: Tensor) -> Tensor:
    return (predicted - goals).square().sum() / 2
