"""The card of a detector."""

from __future__ import annotations

from typing import Final

import pytest

from model_zoo.export.card import build_card
from model_zoo.registry import build, families, variants

RECTANGULAR: Final = {"yolov5", "yolov7"}  # their original programs are evaluated without borders


@pytest.mark.parametrize("family", families())
def test_canvases_are_those_of_the_original_program(family: str) -> None:
    variant = next(name for name in variants(family) if name.endswith("-test"))
    assert build_card(build(variant)).shapes == ("buckets" if family in RECTANGULAR else "square")
