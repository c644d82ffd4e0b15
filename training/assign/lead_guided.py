"""YOLOv7's lead-guided assigner: the predictions of the lead head assign objects to lead and auxiliary heads.

Coarse to fine (arXiv:2207.02696, section 4.2, figure 5e). Candidates of auxiliary heads come from five cells around a
center, those of the lead from three. So auxiliary heads learn coarser labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from training.assign.anchor_ratio import assign_by_ratio
from training.assign.base import AnchorAssignment, AnchorLevels, as_convolved, gather
from training.assign.ota import assign_by_ota
from training.batch import Targets

FINE_OFFSET = 0.5  # cells from the center of an object: its own cell and the two nearest
COARSE_OFFSET = 1.0  # its own cell and all four beside it


@torch.no_grad()
def assign_lead_guided(
    lead: Sequence[Tensor],
    levels: AnchorLevels,
    locate: Callable[[Tensor, Tensor], Tensor],
    targets: Targets,
    *,
    offset: float,
    top_k: int,
) -> AnchorAssignment:
    """Assign objects to the best predictions of the lead among the candidates within an offset.

    Args:
        lead: Raw maps (B, A, h, w, 5 + C) of the lead head.
        levels: Grids and anchors of these maps.
        locate: `Head.locate` of the lead head.
        targets: Objects of the batch.
        offset: FINE_OFFSET for the lead head, COARSE_OFFSET for auxiliary heads.
        top_k: Number of IoUs that are summed to the number of predictions for an object.
    """
    candidates = assign_by_ratio(targets.boxes, targets.image_index, levels, offset=offset)
    raw = gather([as_convolved(m) for m in lead], candidates)
    cells = torch.stack([candidates.x, candidates.y], 1)
    anchors = levels.anchors[candidates.level, candidates.anchor]
    priors = torch.cat([cells, levels.strides[candidates.level, None], anchors], 1)
    return assign_by_ota(candidates, locate(raw[:, :4], priors), raw[:, 4:], targets, top_k)
