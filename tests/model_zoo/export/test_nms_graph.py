"""The NMS tail alone against `contract.nms`: the same rows, bit for bit, in the same order."""

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
from model_zoo.export.nms_graph import BLOCK, QUERY, append_nms
from model_zoo.export.parity import session

ROOM = 3 * BLOCK
CLASSES = 3


@cache
def tail(multi_label_below: float = 0.0) -> ort.InferenceSession:
    boxes, scores = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", ROOM, last]))
        for name, last in (("boxes", 4), ("scores", CLASSES))
    )
    model = ir.Model(ir.Graph([boxes, scores], [], nodes=[], opset_imports={"": 20}, name="nms"), ir_version=10)
    append_nms(model, boxes, scores, multi_label_below)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return session(proto)


def scene(seed: int, sizes: float, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Two images; few digits make equal scores and equal boxes frequent."""
    rng = np.random.default_rng(seed)
    centers, sides = rng.random((2, ROOM, 2)) * 300, rng.random((2, ROOM, 2)) * sizes
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=2).round(digits)
    return boxes.astype(np.float32), rng.random((2, ROOM, CLASSES)).round(digits).astype(np.float32)


def check(model: ort.InferenceSession, boxes: np.ndarray, scores: np.ndarray, asked: list[NMSThresholds], below: float) -> None:
    query = dict(zip(QUERY, np.asarray(asked, dtype=np.float32).T, strict=True))
    detections, counts = model.run(None, {"boxes": boxes, "scores": scores, **query})
    assert counts.dtype == np.int32
    for image, one in enumerate(asked):
        wanted = select(boxes[image], scores[image], one, below)
        np.testing.assert_array_equal(detections[image, : counts[image]], wanted)
        assert not detections[image, counts[image] :].any()


ASKED = st.builds(
    NMSThresholds,
    score=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99, 1.0]),
    iou=st.sampled_from([0.0, 0.2, 0.45, 0.7, 1.0]),
    distance_weight=st.sampled_from([0.0, 0.5, 1.0]),
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 40.0, 200.0]), st.integers(0, 5), ASKED, ASKED)
def test_detections_are_those_of_the_contract(seed: int, sizes: float, digits: int, one: NMSThresholds, other: NMSThresholds) -> None:
    check(tail(), *scene(seed, sizes, digits), [one, other], 0.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.7, 0.75, 0.8, 0.9]))
def test_every_class_counts_below_the_cards_score(seed: int, digits: int, score: float) -> None:
    """Thresholds are high enough that all pairs of box and class find room: at most 384 of 1152."""
    boxes, scores = scene(seed, 100.0, digits)
    scores **= 3
    check(tail(0.8), boxes, scores, [NMSThresholds(score, 0.45, 0.0), NMSThresholds(0.95, 0.45, 1.0)], 0.8)


def test_a_chain_longer_than_a_block_settles() -> None:
    """Each box overlaps the next one only, so greedy NMS keeps every other one: the longest dependency there is."""
    left = np.arange(ROOM, dtype=np.float32)[None, :, None] * 10
    top = np.zeros_like(left)
    boxes = np.concatenate([left, top, left + 15, top + 10], axis=2)
    scores = np.zeros((1, ROOM, CLASSES), dtype=np.float32)
    scores[0, :, 1] = np.linspace(0.9, 0.5, ROOM)
    check(tail(), boxes, scores, [NMSThresholds(0.1, 0.1, 0.0)], 0.0)
    query = {
        "score_threshold": np.float32([0.1]),
        "iou_threshold": np.float32([0.1]),
        "distance_weight": np.zeros(1, "f4"),
    }
    detections, counts = tail().run(None, {"boxes": boxes, "scores": scores, **query})
    np.testing.assert_array_equal(detections[0, : counts[0], 0], left[0, ::2, 0])


@pytest.mark.parametrize("quiet", [0, 1])
def test_an_image_without_candidates_beside_a_full_one(quiet: int) -> None:
    boxes, scores = scene(7, 60.0, 3)
    asked = [NMSThresholds(0.0, 0.5, 1.0), NMSThresholds(0.0, 0.5, 1.0)]
    asked[quiet] = NMSThresholds(1.0, 0.5, 1.0)
    check(tail(), boxes, scores, asked, 0.0)


def test_flat_boxes_and_points_give_no_nan() -> None:
    boxes, scores = scene(3, 0.0, 0)
    boxes[:, ::2, 2] += 5  # lines among the points
    check(tail(), boxes, scores, [NMSThresholds(0.2, 0.0, 1.0), NMSThresholds(0.2, 0.5, 0.0)], 0.0)
