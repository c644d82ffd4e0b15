"""The shortlist of every head has the numbers of its best candidates, and no other prediction exceeds its bound."""

from __future__ import annotations

import pytest
import torch

from model_zoo.export.candidates import candidates, select_top_k, shortlist
from model_zoo.registry import build, variants

SIZE = 8


@pytest.mark.parametrize("variant", [name for name in variants() if name.endswith("-test")])
def test_shortlist_equals_the_best_candidates(variant: str) -> None:
    torch.manual_seed(0)
    detector = build(variant, num_classes=3).deploy()
    head, stride = detector.head, detector.stride
    size = (2 * stride, 3 * stride) if detector.input_spec.dynamic else detector.input_spec.size
    with torch.no_grad():
        maps = [torch.randn_like(one) for one in detector(torch.rand(2, 3, *size))]
        priors = head.priors(maps)
        rows = head.rows(maps)
        boxes, scores, bound = shortlist(head, head.planes(maps), priors, SIZE)
        best_boxes, best_scores = candidates(head, rows, priors, SIZE)
        everything = head.decode(rows, priors)[1].amax(2)
    assert torch.equal(boxes, best_boxes)
    assert torch.equal(scores, best_scores)
    best = select_top_k(head.ranking(rows), SIZE).indices
    others = everything.scatter(1, best, 0.0)
    assert (others.amax(1) <= bound).all()


def test_short_input_is_padded() -> None:
    """No prediction is missing, so the lowest value is that of the padding."""
    top = select_top_k(torch.tensor([[3.0, 1.0, 2.0]]), 5)
    assert top.indices[0, :3].tolist() == [0, 1, 2]
    assert top.valid.tolist() == [[1, 1, 1, 0, 0]]
    assert top.lowest.item() == torch.finfo(torch.float32).min


def test_indices_are_in_order() -> None:
    top = select_top_k(torch.tensor([[3.0, 1.0, 2.0, 5.0], [1.0, 1.0, 1.0, 0.0]]), 2)
    assert top.indices[0].tolist() == [0, 3]
    assert top.lowest.tolist() == [3.0, 1.0]
