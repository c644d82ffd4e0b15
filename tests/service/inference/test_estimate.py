"""Running estimates."""

from __future__ import annotations

import pytest

from service.inference.estimate import Estimate


def test_estimate_follows_a_change_of_load() -> None:
    estimate = Estimate()
    for sample in [0.1] * 50:
        estimate.add(sample)
    assert estimate.bound == pytest.approx(0.1, rel=0.01)
    for sample in [1.0] * 40:
        estimate.add(sample)
    assert estimate.mean == pytest.approx(1.0, rel=0.01)
    for sample in [0.1] * 80:
        estimate.add(sample)
    assert estimate.bound == pytest.approx(0.1, rel=0.02)


def test_bound_grows_with_variation() -> None:
    steady, varied = Estimate(), Estimate()
    for number in range(100):
        steady.add(1.0)
        varied.add(0.5 + number % 2)
    assert steady.bound == pytest.approx(1.0)
    assert varied.bound > 2.5
