"""Rounding of compound scaling."""

from __future__ import annotations

from model_zoo.blocks.scaling import scaled_depth, scaled_width


def test_width_rounds_up_and_depth_rounds_half_to_even():
    assert [scaled_width(c, 0.25) for c in (64, 100, 1024)] == [16, 32, 256]
    assert [scaled_depth(n, 0.25) for n in (1, 3, 18)] == [1, 1, 4]
