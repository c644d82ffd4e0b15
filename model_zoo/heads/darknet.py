"""Darknet's anchor heads: sizes grow with exp, centres stay in their cell (arXiv:1612.08242, section 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from model_zoo.heads.anchor import AnchorHead


class YOLOHead(AnchorHead):
    """The head of YOLOv3 (`yolo`): independent class probabilities, so that one box may carry several labels."""

    def locate(self, raw: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """Decode raw x, y, w, h to centres and sizes in pixels: (sigmoid + cell) * stride, exp * anchor."""
        cells, strides, anchors = priors[..., :2], priors[..., 2:3], priors[..., 3:]
        return (raw[..., :2].sigmoid() + cells) * strides, raw[..., 2:].exp() * anchors


class RegionHead(YOLOHead):
    """The head of YOLOv2 (`region`): one softmax over the classes of every anchor."""

    def score(self, raw: Tensor) -> Tensor:
        """Decode raw objectness and classes to scores: objectness times class probability."""
        return torch.softmax(raw[..., 1:], dim=-1) * raw[..., :1].sigmoid()
