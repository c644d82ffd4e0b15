"""The criterion of YOLOv7 (arXiv:2207.02696): YOLOv5's losses over OTA's matches, also on auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model_zoo.detector import Detector
from training.assign.anchor_ratio import Matches, ratio_matches
from training.assign.ota import ota_matches
from training.batch import Targets
from training.losses.criterion import Criterion, Losses, StepContext
from training.losses.yolov5 import AnchorLosses, Gains, as_convolved, raw_rows

AUXILIARY_WEIGHT = 0.25
AUXILIARY_TOP = 20


class YOLOv7Criterion(Criterion):
    """Losses over OTA's matches; with auxiliary maps after the lead's, theirs too, at a quarter (section 4.2).

    The lead's predictions guide both. Auxiliary heads choose from five cells about a center where the lead has three,
    so that they learn coarser labels. lead_top: overlaps that the lead's number of matches sums.
    """

    def __init__(self, detector: Detector, gains: Gains | None = None, lead_top: int = 10) -> None:
        super().__init__()
        self.lead = AnchorLosses(detector, gains or Gains())
        self.auxiliary = AnchorLosses(detector, gains or Gains())
        self.lead_top = lead_top

    def forward(self, maps: Sequence[Tensor], targets: Targets, context: StepContext) -> Losses:  # noqa: ARG002 - always alike
        """Return the losses of raw maps (B, A, h, w, 5 + C): the lead's, then the auxiliary ones if there are any."""
        targets = targets._replace(boxes=targets.boxes.to(maps[0].dtype))
        lead, auxiliary = maps[: len(self.lead.strides)], maps[len(self.lead.strides) :]
        parts = self.lead(lead, targets, self.matches(lead, targets, 0.5, self.lead_top))
        if auxiliary:
            coarse = self.auxiliary(auxiliary, targets, self.matches(lead, targets, 1.0, AUXILIARY_TOP))
            parts |= {f"aux_{name}": AUXILIARY_WEIGHT * part for name, part in coarse.items()}
        return Losses.of(parts)

    @torch.no_grad()
    def matches(self, maps: Sequence[Tensor], targets: Targets, reach: float, top: int) -> Matches:
        """Match objects with the best of the predictions in cells that their centers reach."""
        levels = self.lead.levels(maps)
        candidates = ratio_matches(targets.boxes, targets.image_index, levels, reach=reach)
        raw = raw_rows([as_convolved(m) for m in maps], candidates)
        cells = torch.stack([candidates.x, candidates.y], 1)
        anchors = levels.anchors[candidates.level, candidates.anchor]
        priors = torch.cat([cells, levels.strides[candidates.level, None], anchors], 1)
        boxes = self.lead.locate(raw[:, :4], priors)
        return ota_matches(candidates, boxes, raw[:, 4:], targets, top)
