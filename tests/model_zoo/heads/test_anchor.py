"""Anchor head: order of rows, priors, decoding, initialization."""

from __future__ import annotations

import math

import pytest
import torch

from model_zoo.heads.anchor import AnchorHead
from model_zoo.registry import build

ANCHORS = (((10, 20), (30, 40)), ((50, 60), (70, 80)))


@pytest.fixture
def head() -> AnchorHead:
    torch.manual_seed(0)
    return AnchorHead((4, 8), 3, ANCHORS, strides=(8, 16))


@pytest.fixture
def maps(head) -> list[torch.Tensor]:
    return head([torch.randn(2, 4, 4, 6), torch.randn(2, 8, 2, 3)])


def test_order_of_rows(head, maps):
    assert [tuple(m.shape) for m in maps] == [(2, 2, 4, 6, 8), (2, 2, 2, 3, 8)]
    rows = head.rows(maps)
    assert rows.shape == (2, 2 * 24 + 2 * 6, 8)
    torch.testing.assert_close(rows[1, 24 + 6 * 3 + 5], maps[0][1, 1, 3, 5], rtol=0, atol=0)
    torch.testing.assert_close(rows[1, 48 + 6 + 3 * 1 + 2], maps[1][1, 1, 1, 2], rtol=0, atol=0)


def test_priors_are_cell_stride_and_anchor(head, maps):
    priors = head.priors(maps)
    assert priors[24 + 6 * 3 + 5].tolist() == [5, 3, 8, 30, 40]
    assert priors[48 + 6 + 3 * 1 + 2].tolist() == [2, 1, 16, 70, 80]


def test_zeros_decode_to_the_anchor_at_the_center_of_the_cell(head, maps):
    boxes, scores = head.decode(torch.zeros_like(head.rows(maps)), head.priors(maps))
    assert boxes[0, 24 + 6 * 3 + 5].tolist() == [44 - 15, 28 - 20, 44 + 15, 28 + 20]
    assert scores.unique().tolist() == [0.25]


def test_ranking_is_an_upper_bound_of_the_scores(head, maps):
    rows = head.rows(maps)
    _, scores = head.decode(rows, head.priors(maps))
    assert bool((scores.amax(-1) <= head.ranking(rows).sigmoid()).all())


def test_priors_of_half_precision_networks_are_float32(head, maps):
    assert head.half().priors([m.half() for m in maps]).dtype == torch.float32


def test_anchors_are_part_of_the_state(head):
    assert head.state_dict()["anchors"].tolist() == [[list(a) for a in level] for level in ANCHORS]


def test_initial_biases():
    """8 objects per 640 px image and class probability near 0.6 / C, within the default noise of +-1 / sqrt(fan)."""
    head = build("yolov5n", 10).head
    for conv, stride in zip(head.predict, head.strides, strict=True):
        bias, noise = conv.bias.view(3, 15), 1 / math.sqrt(conv.in_channels)
        assert bias[:, :4].abs().max() <= noise
        assert (bias[:, 4] - math.log(8 / (640 / stride) ** 2)).abs().max() <= noise
        assert (bias[:, 5:] - math.log(0.6 / 9.00001)).abs().max() <= noise
