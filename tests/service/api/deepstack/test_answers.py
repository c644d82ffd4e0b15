"""Answers of DeepStack: whole corners, version numbers."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from service.api.deepstack.answers import describe_image, describe_version, predictions
from service.inference.results import ImageResult


def result(boxes: list[list[float]], scores: list[float], class_ids: list[int]) -> ImageResult:
    found = Detections(np.asarray(boxes, np.float32), np.asarray(scores, np.float32), np.asarray(class_ids, np.int64))
    return ImageResult((50, 100), found, 0.011, 0.5, 0.0421, 0.0)


def test_corners_are_whole_pixels_inside_the_image() -> None:
    image = result([[0.4, 0.6, 99.5, 49.9], [10.49, 20.51, 10.6, 20.6]], [0.9, 0.4000001], [1, 0])
    found = predictions(image, ("cat", "dog"))
    assert found == [
        {"label": "dog", "confidence": 0.9, "x_min": 0, "y_min": 1, "x_max": 100, "y_max": 50},
        {"label": "cat", "confidence": 0.4, "x_min": 10, "y_min": 21, "x_max": 11, "y_max": 21},
    ]
    assert {type(value) for prediction in found for value in prediction.values()} == {str, float, int}


@pytest.mark.parametrize(("device", "can"), [("cpu", False), ("cuda", True), ("tensorrt", True)])
def test_times_are_whole_milliseconds_and_the_device_is_named(device: str, can: bool) -> None:
    answer = describe_image(result([[0, 0, 1, 1]], [0.9], [0]), ("cat",), "detect", device, 0.6)
    assert (answer["inferenceMs"], answer["processMs"], answer["analysisRoundTripMs"]) == (42, 53, 600)
    assert (answer["message"], answer["duration"]) == ("1 object found", 0.6)
    assert (answer["executionProvider"], answer["canUseGPU"]) == (device.upper(), can)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1.2.3", [1, 2, 3]), ("0.1.0.dev4+g12", [0, 1, 0]), ("2", [2, 0, 0]), ("0+unknown", [0, 0, 0])],
)
def test_version_has_three_numbers(text: str, numbers: list[int]) -> None:
    answer = describe_version(text)
    assert [answer["current"][name] for name in ("major", "minor", "patch")] == numbers
