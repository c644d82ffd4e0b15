"""Running estimates."""

from __future__ import annotations

import pytest

from service.inference.estimate import Estimate


def test_estimate_follows_a_change_of_load() -> None:
    estimate = Estimate()
    for seconds, samples in ((0.1, 1000), (1.0, 40), (0.1, 1000)):
        for _ in range(samples):
            estimate.add(seconds)
        assert estimate.mean == pytest.approx(seconds, rel=0.01)
    assert estimate.bound == pytest.approx(0.1, rel=0.02)


def test_rare_delay_is_not_forgotten_at_once() -> None:
    estimate = Estimate()
    for number in range(1000):
        estimate.add(0.3 if number % 50 == 0 else 0.1)
    assert estimate.bound > 0.3


def test_bound_grows_with_variation() -> None:
    steady, varied = Estimate(), Estimate()
    for number in range(100):
        steady.add(1.0)
        varied.add(0.5 + number % 2)
    assert steady.bound == pytest.approx(1.0)
    assert varied.bound > 2.5
