"""The criterion of YOLOv7 (arXiv:2207.02696): YOLOv5's losses, the lead-guided assigner and auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from model_zoo.detector import Detector
from training.assign.lead_guided import COARSE_OFFSET, FINE_OFFSET, assign_lead_guided
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.yolov5 import AnchorLosses, Gains

AUXILIARY_WEIGHT = 0.25
AUXILIARY_TOP_K = 20


class YOLOv7Criterion(Criterion):
    """Losses of the lead heads, plus a quarter of those of auxiliary heads if there are any (section 4.2).

    Both are assigned by the predictions of the lead.

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
        assign = partial(assign_lead_guided, lead, self.lead.levels(lead), self.lead.locate, targets)
        parts = self.lead(lead, targets, assign(offset=FINE_OFFSET, top_k=self.lead_top_k))
        if auxiliary:
            coarse = self.auxiliary(auxiliary, targets, assign(offset=COARSE_OFFSET, top_k=AUXILIARY_TOP_K))
            parts |= {f"aux_{name}": AUXILIARY_WEIGHT * part for name, part in coarse.items()}
        return Losses.of(parts)
