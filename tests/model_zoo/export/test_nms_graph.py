"""The NMS graph returns the same rows as `contract.nms`, bit for bit and in the same order."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.contract.select import NMSThresholds, select
from model_zoo.export.nms_graph import BLOCK, THRESHOLD_INPUTS, append_nms
from model_zoo.export.sessions import open_model

CANDIDATES = 3 * BLOCK
CLASSES = 3


@cache
def nms_session(multi_label_below: float = 0.0) -> ort.InferenceSession:
    boxes, scores = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", CANDIDATES, last]))
        for name, last in (("boxes", 4), ("scores", CLASSES))
    )
    model = ir.Model(ir.Graph([boxes, scores], [], nodes=[], opset_imports={"": 20}, name="nms"), ir_version=10)
    append_nms(model, boxes, scores, multi_label_below)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return open_model(proto)


def scene(seed: int, sizes: float, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes and scores of two images. Few digits make equal scores and boxes frequent."""
    rng = np.random.default_rng(seed)
    centers, sides = rng.random((2, CANDIDATES, 2)) * 300, rng.random((2, CANDIDATES, 2)) * sizes
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=2).round(digits)
    return boxes.astype(np.float32), rng.random((2, CANDIDATES, CLASSES)).round(digits).astype(np.float32)


def assert_matches_contract(
    session: ort.InferenceSession,
    boxes: np.ndarray,
    scores: np.ndarray,
    thresholds: list[NMSThresholds],
    multi_label_below: float,
) -> None:
    inputs = dict(zip(THRESHOLD_INPUTS, np.asarray(thresholds, dtype=np.float32).T, strict=True))
    detections, counts = session.run(None, {"boxes": boxes, "scores": scores, **inputs})
    assert counts.dtype == np.int32
    for image, one in enumerate(thresholds):
        expected = select(boxes[image], scores[image], one, multi_label_below)
        np.testing.assert_array_equal(detections[image, : counts[image]], expected)
        assert not detections[image, counts[image] :].any()


THRESHOLDS = st.builds(
    NMSThresholds,
    score=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99, 1.0]),
    iou=st.sampled_from([0.0, 0.2, 0.45, 0.7, 1.0]),
    distance_weight=st.sampled_from([0.0, 0.5, 1.0]),
)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 40.0, 200.0]), st.integers(0, 5), THRESHOLDS, THRESHOLDS)
def test_detections_equal_the_contract(
    seed: int, sizes: float, digits: int, one: NMSThresholds, other: NMSThresholds
) -> None:
    assert_matches_contract(nms_session(), *scene(seed, sizes, digits), [one, other], 0.0)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.7, 0.75, 0.8, 0.9]))
def test_multi_label_detections_equal_the_contract(seed: int, digits: int, score: float) -> None:
    """Thresholds are high enough to keep the pairs of box and class within the candidates: 384 of 1152."""
    boxes, scores = scene(seed, 100.0, digits)
    scores **= 3
    assert_matches_contract(
        nms_session(0.8), boxes, scores, [NMSThresholds(score, 0.45, 0.0), NMSThresholds(0.95, 0.45, 1.0)], 0.8
    )


def test_suppression_chain_longer_than_a_block_converges() -> None:
    """Each box overlaps only the next one, so greedy NMS keeps every other one. This is the longest possible chain."""
    left = np.arange(CANDIDATES, dtype=np.float32)[None, :, None] * 10
    top = np.zeros_like(left)
    boxes = np.concatenate([left, top, left + 15, top + 10], axis=2)
    scores = np.zeros((1, CANDIDATES, CLASSES), dtype=np.float32)
    scores[0, :, 1] = np.linspace(0.9, 0.5, CANDIDATES)
    assert_matches_contract(nms_session(), boxes, scores, [NMSThresholds(0.1, 0.1, 0.0)], 0.0)
    query = {
        "score_threshold": np.float32([0.1]),
        "iou_threshold": np.float32([0.1]),
        "distance_weight": np.zeros(1, "f4"),
    }
    detections, counts = nms_session().run(None, {"boxes": boxes, "scores": scores, **query})
    np.testing.assert_array_equal(detections[0, : counts[0], 0], left[0, ::2, 0])


@pytest.mark.parametrize("empty", [0, 1])
def test_image_without_candidates_in_a_batch(empty: int) -> None:
    boxes, scores = scene(7, 60.0, 3)
    thresholds = [NMSThresholds(0.0, 0.5, 1.0), NMSThresholds(0.0, 0.5, 1.0)]
    thresholds[empty] = NMSThresholds(1.0, 0.5, 1.0)
    assert_matches_contract(nms_session(), boxes, scores, thresholds, 0.0)


def test_infinite_boxes_below_the_threshold_leave_no_trace() -> None:
    """Their product with 0 is NaN, which exceeds every threshold in OpenVINO."""
    boxes, scores = scene(5, 60.0, 3)
    dead = scores.max(2) <= 0.9
    boxes[dead] = np.inf
    expected = boxes.copy()
    expected[dead] = 0
    inputs = dict(
        zip(THRESHOLD_INPUTS, np.asarray([[0.9, 0.5, 1.0], [0.9, 1.0, 0.0]], dtype=np.float32).T, strict=True)
    )
    runs = [nms_session().run(None, {"boxes": one, "scores": scores, **inputs}) for one in (boxes, expected)]
    for found, same in zip(*runs, strict=True):
        np.testing.assert_array_equal(found, same)


def test_boxes_without_area_give_no_nan() -> None:
    boxes, scores = scene(3, 0.0, 0)
    boxes[:, ::2, 2] += 5  # lines instead of points
    assert_matches_contract(
        nms_session(), boxes, scores, [NMSThresholds(0.2, 0.0, 1.0), NMSThresholds(0.2, 0.5, 0.0)], 0.0
    )
