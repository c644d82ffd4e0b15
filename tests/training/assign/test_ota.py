"""OTA: a reference implementation, and special cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.losses.anchor_cases import YOLOV7_GAINS, head_only_detector, scene
from training.assign import lead_guided, ota
from training.assign.base import AnchorAssignment
from training.batch import Targets
from training.boxes import pairwise_iou
from training.losses.yolov7 import YOLOv7Criterion


def reference_ota(boxes: Tensor, raw: Tensor, objects: Tensor, class_ids: Tensor, top: int) -> list[int]:
    """Apply the rule to one image, object by object and class by class. Return the object of each candidate, or -1."""
    overlap = pairwise_iou(objects, boxes)
    score = (raw[:, 1:].sigmoid() * raw[:, :1].sigmoid()).sqrt()
    cost = torch.empty_like(overlap)
    for g, class_id in enumerate(class_ids.tolist()):
        one_hot = torch.zeros_like(score)
        one_hot[:, class_id] = 1
        errors = -(one_hot * score.log() + (1 - one_hot) * (1 - score).log()).sum(1)
        cost[g] = errors - 3 * (overlap[g] + 1e-8).log()
    claimed = torch.zeros_like(cost, dtype=torch.bool)
    for g in range(len(objects)):
        best = overlap[g].topk(min(top, overlap.shape[1])).values
        claimed[g, cost[g].topk(max(1, int(best.sum())), largest=False).indices] = True
    owners = []
    for r in range(cost.shape[1]):
        claims = int(claimed[:, r].sum())
        owners.append(-1 if claims == 0 else int((claimed if claims == 1 else -cost)[:, r].to(cost).argmax()))
    return owners


@pytest.mark.parametrize("objects", [[3], [12, 0, 1, 7], [60, 40]])
@pytest.mark.parametrize("max_pairs", [1 << 20, 1000])
def test_crowded_scenes_match_the_reference(monkeypatch, objects, max_pairs):
    monkeypatch.setattr(ota, "MAX_PAIRS", max_pairs)
    maps, targets = scene(objects, seed=3)
    maps = [m.detach().double() for m in maps]
    targets = targets._replace(boxes=targets.boxes.double())
    criterion = YOLOv7Criterion(head_only_detector(3), YOLOV7_GAINS)
    calls = []
    monkeypatch.setattr(lead_guided, "assign_by_ota", lambda *a: calls.append(a) or ota.assign_by_ota(*a))
    levels, locate = criterion.lead.levels(maps), criterion.lead.locate
    assigned = lead_guided.assign_lead_guided(maps, levels, locate, targets, offset=0.5, top_k=10)
    candidates, boxes, raw, *_ = calls[0]
    expected = torch.full_like(candidates.target, -1)
    for image in range(len(objects)):
        rows = (candidates.image == image).nonzero()[:, 0]
        in_image = (targets.image_index == image).nonzero()[:, 0]
        if len(in_image) and len(rows):
            owners = reference_ota(boxes[rows], raw[rows], targets.boxes[in_image], targets.class_ids[in_image], 10)
            expected[rows] = torch.tensor([in_image[g] if g >= 0 else -1 for g in owners])
    kept = candidates._replace(target=expected).select(expected >= 0)
    assert sorted(zip(*(c.tolist() for c in assigned), strict=True)) == sorted(
        zip(*(c.tolist() for c in kept), strict=True)
    )


def test_costs_of_certain_predictions_are_finite():
    raw = torch.tensor([[60.0, 200.0, -200.0], [-300.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    candidates = ota.Candidates.of(torch.zeros(3, 4), raw)
    cost = candidates.background[:, None] - candidates.odds
    assert bool(torch.isfinite(cost).all())
    assert cost[0, 0] < 100 < cost[0, 1]
    torch.testing.assert_close(cost[2], torch.full((2,), 2 * torch.tensor(2.0).log().item()))


def test_candidate_with_two_claims_goes_to_the_cheaper_object():
    column = torch.zeros(1, dtype=torch.int64)
    candidate = AnchorAssignment(*(column for _ in range(6)))
    targets = Targets(torch.zeros(2).long(), torch.tensor([0, 0]), torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 20]]))
    assigned = ota.assign_by_ota(candidate, torch.tensor([[0.0, 0, 20, 19]]), torch.zeros(1, 2), targets, 10)
    assert assigned.target.tolist() == [1]
