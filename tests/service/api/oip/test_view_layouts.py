"""Canvases and rows of the FP32 views."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from model_zoo.contract.boxes import cxcywh_to_xyxy
from model_zoo.contract.card import ModelCard, Thresholds
from model_zoo.contract.detections import Detections
from service.api.oip.view_layouts import row_count, to_canvas, ultralytics, yolov5
from tests.tiny_onnx import toy_card

BOXES = np.array([[8, 16, 24, 40], [1, 2, 4, 8]], np.float32)
CENTERED = np.array([[16, 28, 16, 24], [2.5, 5, 3, 6]], np.float32)


def detections(boxes: list[int], scores: list[float], class_ids: list[int]) -> Detections:
    """Return detections with the boxes of these indices."""
    return Detections(BOXES[boxes], np.array(scores, np.float32), np.array(class_ids, np.int64))


def card(multi_label_below: float = 0.0, candidates: int = 8) -> ModelCard:
    return toy_card(candidates=candidates, thresholds=Thresholds(multi_label_below=multi_label_below))


def test_a_canvas_undoes_the_division_by_255_exactly() -> None:
    pixels = np.arange(3 * 256, dtype=np.uint8).reshape(16, 16, 3)
    tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(to_canvas(tensor), pixels)


def test_a_canvas_of_read_only_or_unaligned_memory_is_the_same() -> None:
    pixels = np.random.default_rng(0).random((3, 32, 64), np.float32)
    body = b"1" + pixels.tobytes()
    np.testing.assert_array_equal(to_canvas(np.ndarray((3, 32, 64), "<f4", body, 1)), to_canvas(pixels))


def test_uninitialized_memory_becomes_some_canvas_without_a_warning() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1e38, -1e38, 3e9, -0.5, 1e-40], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas = to_canvas(np.resize(values, (3, 32, 32)))
    assert (canvas.shape, canvas.dtype) == ((32, 32, 3), np.uint8)
    assert canvas.flags.c_contiguous


def test_yolov5_rows_hold_center_boxes_objectness_and_the_share_of_each_class() -> None:
    (rows,) = yolov5(card(), [detections([0, 1], [0.9, 0.5], [2, 0])])
    assert (rows.shape, rows.dtype) == ((8, 5 + 3), np.float32)
    np.testing.assert_array_equal(rows[:2, :4], CENTERED)
    np.testing.assert_array_equal(rows[:2, 4:], np.array([[0.9, 0, 0, 1], [0.5, 1, 0, 0]], np.float32))
    assert not rows[2:].any()


def test_ultralytics_columns_hold_center_boxes_and_the_score_of_each_class() -> None:
    (columns,) = ultralytics(card(), [detections([0, 1], [0.9, 0.5], [2, 0])])
    assert (columns.shape, columns.dtype) == ((4 + 3, 8), np.float32)
    assert columns.flags.c_contiguous
    np.testing.assert_array_equal(columns[:4, :2], CENTERED.T)
    np.testing.assert_array_equal(columns[4:, :2], np.array([[0, 0.5], [0, 0], [0.9, 0]], np.float32))
    assert not columns[:, 2:].any()


def test_boxes_are_those_of_the_graph_once_converted_back() -> None:
    boxes = np.random.default_rng(0).uniform(-50, 700, (8, 4)).astype(np.float32)
    found = Detections(boxes, np.linspace(0.9, 0.1, 8, dtype=np.float32), np.zeros(8, np.int64))
    np.testing.assert_allclose(cxcywh_to_xyxy(yolov5(card(), [found])[0, :, :4]), boxes, atol=2e-4)


def test_classes_of_one_box_share_a_row_where_a_model_reports_the_best_one() -> None:
    found = detections([0, 1, 0], [0.8, 0.6, 0.4], [2, 1, 0])
    (rows,), (columns,) = yolov5(card(0.01), [found]), ultralytics(card(0.01), [found])
    np.testing.assert_array_equal(rows[:2, 4], np.float32([0.8, 0.6]))
    np.testing.assert_allclose(rows[:2, 4:5] * rows[:2, 5:], [[0.4, 0, 0.8], [0, 0.6, 0]], rtol=1e-6)
    np.testing.assert_array_equal(columns[4:, :2].T, np.float32([[0.4, 0, 0.8], [0, 0.6, 0]]))
    assert not rows[2:].any()


@pytest.mark.parametrize("multi_label_below", [0.0, 0.001, 1.0])
def test_classes_of_one_box_are_rows_of_their_own_where_a_model_reports_all(multi_label_below: float) -> None:
    (columns,) = ultralytics(card(multi_label_below), [detections([0, 1, 0], [0.8, 0.6, 0.4], [2, 1, 0])])
    np.testing.assert_array_equal(columns[4:, :3].T, np.float32([[0, 0, 0.8], [0, 0.6, 0], [0.4, 0, 0]]))


def test_two_scores_for_one_box_and_class_count_as_the_higher() -> None:
    (columns,) = ultralytics(card(0.01), [detections([0, 0], [0.8, 0.4], [1, 1])])
    np.testing.assert_array_equal(columns[4:, 0], np.float32([0, 0.8, 0]))


def test_no_detections_are_zero_rows() -> None:
    assert not yolov5(card(0.01), [detections([], [], [])]).any()


def test_each_image_of_a_batch_has_its_own_rows() -> None:
    images = [detections([0], [0.9], [2]), detections([1], [0.5], [0])]
    for lay_out in (yolov5, ultralytics):
        batch = lay_out(card(), images)
        np.testing.assert_array_equal(batch, np.concatenate([lay_out(card(), [image]) for image in images]))


@pytest.mark.parametrize(("candidates", "rows"), [(3840, 3840), (7, 7), (6, 7), (5, 5)])
def test_the_number_of_rows_is_that_of_the_candidates_but_never_six(candidates: int, rows: int) -> None:
    model = replace(card(), candidates=candidates)
    assert (row_count(model), yolov5(model, [detections([], [], [])]).shape[1]) == (rows, rows)
