"""Inputs and outputs of the native view, without a server."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from service.api.errors import BadRequest
from service.api.oip.detections_view import DETECTIONS, read_inputs, stack
from service.api.oip.messages import InputTensor
from service.inference.query import QueryOptions
from tests.tiny_onnx import toy_card

FILES = InputTensor("image", "BYTES", (2,), [b"a", b"b"])


def fp32(name: str, *values: float) -> InputTensor:
    return InputTensor(name, "FP32", (len(values),), np.array(values, np.float32))


def test_several_canvases_have_no_fixed_size() -> None:
    shapes = [DETECTIONS.inputs(toy_card(), canvases)[1].shape for canvases in ([(64, 96)], [(64, 64), (32, 64)])]
    assert shapes == [(-1, 64, 96, 3), (-1, -1, -1, 3)]


def test_thresholds_are_those_of_each_image_or_of_all() -> None:
    images, queries = read_inputs([FILES, fp32("score_threshold", 0.01), fp32("iou_threshold", 0.3, 0.7)], 2)
    assert images is FILES
    assert queries == [QueryOptions(score=0.01, iou=0.3), QueryOptions(score=0.01, iou=0.7)]


def test_inputs_given_twice_are_refused() -> None:
    with pytest.raises(BadRequest, match="expected each name once"):
        read_inputs([FILES, FILES], 2)


def test_rows_after_the_count_are_zero() -> None:
    two = Detections(np.ones((2, 4), np.float32), np.ones(2, np.float32), np.array([3, 4]))
    none = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    rows, counts = (output.data for output in stack([two, none]))
    assert (counts.tolist(), counts.dtype) == ([2, 0], np.int32)
    assert (rows[0, :, 5].tolist(), rows.dtype) == ([3.0, 4.0], np.float32)
    assert not rows[1].any()
    assert stack([none])[0].data.shape == (1, 0, 6)
