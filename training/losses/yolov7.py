"""The criterion of YOLOv7 (arXiv:2207.02696): YOLOv5's losses with OTA's assignment, also for auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_ratio import assign_by_ratio
from training.assign.base import AnchorAssignment
from training.assign.ota import assign_by_ota
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.yolov5 import AnchorLosses, Gains, as_convolved, gather

AUXILIARY_WEIGHT = 0.25
AUXILIARY_TOP_K = 20


class YOLOv7Criterion(Criterion):
    """Losses of the lead heads, plus a quarter of those of auxiliary heads if there are any (section 4.2).

    Both are assigned by the predictions of the lead. Candidates of auxiliary heads come from five cells around a
    center, those of the lead from three, so that auxiliary heads learn coarser labels.

    Args:
        detector: Detector to train.
        gains: Weights of the losses.
        lead_top_k: Number of IoUs that are summed to the number of the lead's predictions for an object.
    """

    def __init__(self, detector: Detector, gains: Gains | None = None, lead_top_k: int = 10) -> None:
        super().__init__()
        self.lead = AnchorLosses(detector, gains or Gains())
        self.auxiliary = AnchorLosses(detector, gains or Gains())
        self.lead_top_k = lead_top_k

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - every step alike
        """Return the losses of raw maps (B, A, h, w, 5 + C): of the lead, then of any auxiliary heads."""
        targets = targets._replace(boxes=targets.boxes.to(maps[0].dtype))
        lead, auxiliary = maps[: len(self.lead.strides)], maps[len(self.lead.strides) :]
        parts = self.lead(lead, targets, self.assign(lead, targets, 0.5, self.lead_top_k))
        if auxiliary:
            coarse = self.auxiliary(auxiliary, targets, self.assign(lead, targets, 1.0, AUXILIARY_TOP_K))
            parts |= {f"aux_{name}": AUXILIARY_WEIGHT * part for name, part in coarse.items()}
        return Losses.of(parts)

    @torch.no_grad()
    def assign(self, maps: Sequence[Tensor], targets: Targets, offset: float, top_k: int) -> AnchorAssignment:
        """Assign objects to the best predictions among the candidates of `assign_by_ratio` with this offset."""
        levels = self.lead.levels(maps)
        candidates = assign_by_ratio(targets.boxes, targets.image_index, levels, offset=offset)
        raw = gather([as_convolved(m) for m in maps], candidates)
        cells = torch.stack([candidates.x, candidates.y], 1)
        anchors = levels.anchors[candidates.level, candidates.anchor]
        priors = torch.cat([cells, levels.strides[candidates.level, None], anchors], 1)
        boxes = self.lead.locate(raw[:, :4], priors)
        return assign_by_ota(candidates, boxes, raw[:, 4:], targets, top_k)
