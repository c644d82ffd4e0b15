"""YOLOv7's lead-guided assigner: the original's entries, and special cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.losses.anchor_cases import YOLOV7_GAINS, YOLOV7_KINDS, Case, check_finite, head_only_detector, scene
from training.assign.lead_guided import assign_lead_guided
from training.batch import Targets
from training.losses.yolov7 import YOLOv7Criterion


def assign(criterion: YOLOv7Criterion, maps: list[Tensor], targets: Targets, offset: float = 0.5, top_k: int = 10):
    levels, locate = criterion.lead.levels(maps), criterion.lead.locate
    return assign_lead_guided(maps, levels, locate, targets, offset=offset, top_k=top_k)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "kind", "lead_top_k"), YOLOV7_KINDS)
def test_entries_and_their_order_match_the_original(shared, name, kind, lead_top_k, dtype):
    case = Case(shared, "yolov7", name)
    criterion = YOLOv7Criterion(case.detector, YOLOV7_GAINS, lead_top_k)
    heads = {"match": (0.5, lead_top_k), **({"matchaux": (1.0, 20)} if kind != "ota" else {})}
    for key, (offset, top) in heads.items():
        assigned = assign(criterion, case.maps(dtype), case.targets(dtype), offset, top)
        for i in range(3):
            rows = torch.stack(assigned.select(assigned.level == i)[1:], dim=1)
            assert rows.tolist() == case.arrays[f"{kind}__{key}{i}"].tolist()


def test_duplicate_objects_are_assigned():
    maps, targets = scene([1])
    twice = Targets(*(part.repeat_interleave(2, dim=0) for part in targets))
    assigned = assign(YOLOv7Criterion(head_only_detector(3)), maps, twice)
    assert set(assigned.target.tolist()) <= {0, 1}
    check_finite(YOLOv7Criterion(head_only_detector(3)), maps, twice)


def test_predictions_of_an_oblong_image():
    """An object at the right end of a wide image is assigned to predictions there."""
    maps, _ = scene([1], size=(64, 320))
    target = Targets(torch.tensor([0]), torch.tensor([0]), torch.tensor([[280.0, 20, 310, 50]]))
    assigned = assign(YOLOv7Criterion(head_only_detector(3)), maps, target)
    assert len(assigned.x) > 0
    assert bool(((assigned.x + 2) * torch.tensor([8, 16, 32])[assigned.level] > 280).all())
