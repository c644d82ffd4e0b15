"""Decoupled head: order of rows, priors, decoding, initialization."""

from __future__ import annotations

import math

import pytest
import torch

from model_zoo.heads.decoupled import DecoupledHead
from model_zoo.registry import build


@pytest.fixture
def head() -> DecoupledHead:
    torch.manual_seed(0)
    return DecoupledHead((4, 8), (6, 7), 3, strides=(8, 16)).eval()


@pytest.fixture
def maps(head) -> list[torch.Tensor]:
    return head([torch.randn(2, 4, 4, 6), torch.randn(2, 8, 2, 3)])


def test_order_of_rows(head, maps):
    assert [tuple(m.shape) for m in maps] == [(2, 8, 4, 6), (2, 8, 2, 3)]
    rows = head.rows(maps)
    assert rows.shape == (2, 24 + 6, 8)
    torch.testing.assert_close(rows[1, 6 * 3 + 5], maps[0][1, :, 3, 5], rtol=0, atol=0)
    torch.testing.assert_close(rows[1, 24 + 3 * 1 + 2], maps[1][1, :, 1, 2], rtol=0, atol=0)


def test_priors_are_cell_and_stride(head, maps):
    priors = head.priors(maps)
    assert priors[6 * 3 + 5].tolist() == [5, 3, 8]
    assert priors[24 + 3 * 1 + 2].tolist() == [2, 1, 16]


def test_zeros_decode_to_a_square_of_the_stride_at_the_corner_of_the_cell(head, maps):
    boxes, scores = head.decode(torch.zeros_like(head.rows(maps)), head.priors(maps))
    assert boxes[0, 6 * 3 + 5].tolist() == [36, 20, 44, 28]
    assert boxes[0, 24 + 3 * 1 + 2].tolist() == [24, 8, 40, 24]
    assert scores.unique().tolist() == [0.25]


def test_ranking_is_an_upper_bound_of_the_scores(head, maps):
    rows = 3 * head.rows(maps)
    _, scores = head.decode(rows, head.priors(maps))
    assert bool((scores.amax(-1) <= head.ranking(rows).sigmoid()).all())


def test_priors_of_half_precision_networks_are_float32(head, maps):
    assert head.half().priors([m.half() for m in maps]).dtype == torch.float32


def test_objectness_uses_the_box_branch(head):
    level = head.levels[0].train()
    level(torch.randn(2, 4, 4, 6))[:, 4].sum().backward()
    assert all(p.grad is not None for p in level.box_branch.parameters())
    assert all(p.grad is None or not p.grad.any() for p in level.class_branch.parameters())


def test_initial_probability_is_one_percent(head):
    for level in head.levels:
        for prediction in (level.classes, level.objectness):
            torch.testing.assert_close(prediction.bias, torch.full_like(prediction.bias, -math.log(99)))


def test_initial_probability_of_the_head_of_yolov6_0_1_0() -> None:
    head = build("yolov6n-v1").head
    for level in head.levels:
        for prediction in (level.objectness, level.classes):
            torch.testing.assert_close(prediction.bias.sigmoid(), torch.full_like(prediction.bias, 0.01))
