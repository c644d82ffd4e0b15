"""Decoding of Darknet's anchor heads."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from model_zoo.heads.anchor import AnchorHead
from model_zoo.registry import build

RAW = 0.7


SIGMOID = 1 / (1 + math.exp(-RAW))


@pytest.mark.parametrize(("level", "scale"), [(0, 1.2), (1, 1.1), (2, 1.05)])
def test_yolov4_scales_centers(level: int, scale: float) -> None:
    """x = (column + s p - (s - 1) / 2) * stride, with p the sigmoid of the raw number, w = anchor * exp(raw)."""
    head, maps, at = one_raw_number("yolov4-test", level)
    boxes, _ = head.decode(head.rows(maps), head.priors(maps))
    stride, anchor = head.strides[level], head.anchors[level, 1]
    center = (2 + scale * SIGMOID - (scale - 1) / 2) * stride
    width = anchor[0] * math.exp(RAW)
    assert boxes[0, at, [0, 2]].tolist() == pytest.approx([float(center - width / 2), float(center + width / 2)])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_scaled_yolov4_decodes_like_yolov5(level: int) -> None:
    """x = (column + 2p - 1/2) * stride, w = (2p)^2 * anchor, with p the sigmoid of the raw number."""
    head, maps, at = one_raw_number("yolov4-csp-test", level)
    boxes, _ = head.decode(head.rows(maps), head.priors(maps))
    stride, anchor = head.strides[level], head.anchors[level, 1]
    center, width = (2 + 2 * SIGMOID - 0.5) * stride, (2 * SIGMOID) ** 2 * anchor[0]
    assert boxes[0, at, [0, 2]].tolist() == pytest.approx([float(center - width / 2), float(center + width / 2)])


def one_raw_number(variant: str, level: int) -> tuple[AnchorHead, list[Tensor], int]:
    """Return raw maps with x and w of one prediction set (second anchor, column 2, row 1), and the row index."""
    head = build(variant).head
    assert isinstance(head, AnchorHead)
    maps = [torch.zeros(1, 3, 3, 4, 85) for _ in head.strides]
    maps[level][0, 1, 1, 2, [0, 2]] = RAW
    return head, maps, level * 36 + 12 + 4 + 2
