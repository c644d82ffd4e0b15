"""Answers of DeepStack: whole corners, version numbers."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from service.api.deepstack.schemas import Version, make_predictions
from service.inference.service import ImageResult


def test_corners_are_whole_pixels_inside_the_image() -> None:
    boxes = np.asarray([[0.4, 0.6, 99.5, 49.9], [10.49, 20.51, 10.6, 20.6]], dtype=np.float32)
    found = Detections(boxes, np.asarray([0.9, 0.4000001], dtype=np.float32), np.asarray([1, 0]))
    predictions = make_predictions(ImageResult((50, 100), found, *[0.0] * 4), ("cat", "dog"))
    assert [prediction.model_dump() for prediction in predictions] == [
        {"label": "dog", "confidence": 0.9, "x_min": 0, "y_min": 1, "x_max": 100, "y_max": 50},
        {"label": "cat", "confidence": 0.4, "x_min": 10, "y_min": 21, "x_max": 11, "y_max": 21},
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1.2.3", (1, 2, 3)), ("0.1.0.dev4+g12", (0, 1, 0)), ("2", (2, 0, 0)), ("0+unknown", (0, 0, 0))],
)
def test_version_has_three_numbers(text: str, numbers: tuple[int, ...]) -> None:
    version = Version.parse(text)
    assert (version.major, version.minor, version.patch) == numbers
