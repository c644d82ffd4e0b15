"""Compound scaling of YOLOv5, X and v6: one table of channels and repeats, two factors."""

from __future__ import annotations

import math


def scaled_width(channels: int, factor: float) -> int:
    """Return channels x factor, rounded up to a multiple of 8."""
    return math.ceil(channels * factor / 8) * 8


def scaled_depth(repeats: int, factor: float) -> int:
    """Return repeats x factor, rounded half to even, at least 1."""
    return max(round(repeats * factor), 1)
