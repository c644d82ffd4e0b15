"""Requests of DOODS: thresholds in per cent."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from service.api.doods.messages import DetectRequest, make_detections
from service.inference.query import QueryOptions
from service.inference.results import ImageResult


@pytest.mark.parametrize(
    ("detect", "score", "wanted"),
    [
        (None, None, ["a", "b"]),
        ({}, None, ["a", "b"]),
        ({"*": 50}, 0.5, ["a"]),
        ({"*": 40}, 0.4, ["a", "b"]),
        ({"a": 70, "*": 30}, 0.3, ["b"]),
        ({"b": 10}, 0.1, ["b"]),
        ({"truck": 5}, 0.05, []),
    ],
)
def test_thresholds_by_label(detect: dict[str, float] | None, score: float | None, wanted: list[str]) -> None:
    asked = DetectRequest(data="", detect=detect)
    assert asked.options() == QueryOptions(score=score, clamp=bool(detect))
    assert [label for label, confidence in (("a", 60.0), ("b", 40.0)) if asked.is_wanted(label, confidence)] == wanted


def test_edges_are_fractions_and_confidence_is_per_cent() -> None:
    boxes = np.asarray([[10, 20, 100, 50]], dtype=np.float32)
    found = Detections(boxes, np.asarray([0.871], dtype=np.float32), np.asarray([0]))
    (detection,) = make_detections(ImageResult((50, 100), found, *[0.0] * 4), ("cat",), DetectRequest(data=""))
    assert detection == {
        "top": 0.4,
        "left": 0.1,
        "bottom": 1.0,
        "right": 1.0,
        "label": "cat",
        "confidence": 87.1,
    }


def test_text_of_the_image_is_forgotten() -> None:
    """The text is larger than the file, and would stay in memory while it is processed."""
    asked = DetectRequest(data="QUFB")
    assert (asked.take_image(), asked.data) == (b"AAA", "")
