"""The precision benchmark covers every generation."""

from __future__ import annotations

from benchmarks.precision import SMALLEST
from model_zoo.registry import families, family_of


def test_smallest_variant_of_every_generation_is_measured() -> None:
    assert {family_of(variant) for variant in SMALLEST} == set(families())
