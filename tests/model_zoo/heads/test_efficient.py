"""Head of YOLOv6: decoding, initialization, and branches that exist only in training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from model_zoo.heads.efficient import BINS, EfficientHead
from model_zoo.registry import build
from tests.model_zoo.batch_norms import randomize


def assert_equal(actual: object, expected: object) -> None:
    torch.testing.assert_close(tuple(actual), tuple(expected), rtol=0, atol=0)


def test_distances_start_at_the_center_of_the_cell() -> None:
    head = EfficientHead([4], 2, (16,))
    rows = torch.tensor([[[1.0, 2.0, 3.0, -0.25, 0.0, 100.0]]])
    boxes, scores = head.decode(rows, torch.tensor([[5.0, 7.0, 16.0]]))
    torch.testing.assert_close(boxes, torch.tensor([[[4.5, 5.5, 8.5, 7.25]]]) * 16)
    torch.testing.assert_close(scores, torch.tensor([[[0.5, 1.0]]]))


@given(st.lists(st.integers(0, BINS - 1), min_size=4, max_size=4))
def test_distance_is_the_mean_of_its_distribution(bins: list[int]) -> None:
    head = EfficientHead([4], 2, (8,), BINS)
    one_hot = 50 * nn.functional.one_hot(torch.tensor(bins), BINS).float()
    torch.testing.assert_close(head.distances(one_hot.view(1, 1, -1)), torch.tensor(bins).float().view(1, 1, 4))
    uniform = head.distances(torch.zeros(1, 1, 4 * BINS))
    torch.testing.assert_close(uniform, torch.full((1, 1, 4), (BINS - 1) / 2))


def test_bins_are_constant() -> None:
    detector = build("yolov6-v3-test", 3)
    assert [name for name, p in detector.named_parameters() if not p.requires_grad] == ["head.bins"]
    assert detector.head.bins.tolist() == [list(range(BINS))] * 2


@pytest.mark.parametrize(("variant", "cells"), [("yolov6-test", 2.0), ("yolov6-v3-test", BINS - 1.0)])
@torch.inference_mode()
def test_initial_boxes_and_scores(variant: str, cells: float) -> None:
    """Sides are one cell from the center, or the mean of a uniform distribution."""
    torch.manual_seed(0)
    detector = randomize(build(variant, 3))
    boxes, scores = detector.forward_decoded(torch.rand(1, 3, 64, 64))
    sizes = boxes[0, :64, 2:] - boxes[0, :64, :2]
    torch.testing.assert_close(scores, torch.full_like(scores, 0.01), rtol=0.5, atol=0)
    torch.testing.assert_close(sizes, torch.full_like(sizes, 8 * cells), rtol=0.5, atol=0)
    assert len(scores.unique()) > 0.9 * scores.numel()


def test_added_maps_follow_the_lead_in_training_and_are_not_decoded() -> None:
    torch.manual_seed(0)
    detector = randomize(build("yolov6-v3-test", 3))
    for conv in (m for m in detector.head.modules() if isinstance(m, nn.Conv2d)):
        nn.init.normal_(conv.weight, std=0.1)
    x = torch.rand(1, 3, 64, 96)
    maps, predictions = detector(x), detector.forward_decoded(x)
    detector.head.training = True  # normalizations stay in evaluation
    both = detector(x)
    assert [tuple(m.shape) for m in both[3:]] == [(1, 3 * (4 + 3), 64 // s, 96 // s) for s in (8, 16, 32)]
    assert_equal(both[:3], maps)
    assert_equal(detector.forward_decoded(x), predictions)
    assert len(detector.deploy().train()(x)) == 3
    assert len(detector.head.added) == 3


def test_ranking_orders_rows_like_their_highest_score() -> None:
    head = EfficientHead([4], 5, (8,))
    rows = torch.randn(1, 50, 9)
    _, scores = head.decode(rows, torch.zeros(50, 3))
    best: Tensor = scores.amax(dim=2)
    assert torch.equal(head.ranking(rows).argsort(), best.argsort())
