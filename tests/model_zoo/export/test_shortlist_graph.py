"""Detections of the shortlist equal those of all candidates, bit for bit, and are used wherever they suffice."""

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
from model_zoo.export.nms_graph import THRESHOLD_INPUTS
from model_zoo.export.sessions import open_model
from model_zoo.export.shortlist_graph import Shortlist, append_shortlist_nms
from tests.exports import ExportedModel

FEW, MANY, CLASSES = 128, 384, 3
INPUTS = {
    "few_boxes": (FEW, 4),
    "few_scores": (FEW, CLASSES),
    "bound": (),
    "boxes": (MANY, 4),
    "scores": (MANY, CLASSES),
}
USUAL = NMSThresholds(score=0.5, iou=0.45, distance_weight=1.0)


@cache
def session(multi_label_below: float = 0.0) -> ort.InferenceSession:
    """Return NMS of given candidates and a given shortlist."""
    few_boxes, few_scores, bound, boxes, scores = values = [
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", *shape]))
        for name, shape in INPUTS.items()
    ]
    model = ir.Model(ir.Graph(values, [], nodes=[], opset_imports={"": 20}, name="nms"), ir_version=10)
    append_shortlist_nms(model, Shortlist(few_boxes, few_scores, bound), boxes, scores, multi_label_below)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return open_model(proto)


def scene(alive: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes and scores of one image, of which `alive` have scores above 0.5."""
    rng = np.random.default_rng(seed)
    corners = rng.random((MANY, 2)) * 300
    boxes = np.concatenate([corners, corners + 5 + rng.random((MANY, 2)) * 30], axis=1)
    scores = rng.random((MANY, CLASSES)) * 0.4
    scores[rng.permutation(MANY)[:alive], 0] = 0.501 + 0.49 * rng.random(alive)
    return boxes.astype(np.float32), scores.astype(np.float32)


def shortlist(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """Return boxes and scores of the best of an image, in order of index, and the best score of the others."""
    order = scores.max(1).argsort(kind="stable")[::-1]
    index = np.sort(order[:FEW])
    return boxes[index], scores[index], scores[order[FEW:]].max()


def assert_exact(
    scenes: list[tuple[np.ndarray, np.ndarray]], thresholds: list[NMSThresholds], below: float, is_full: bool | None
) -> np.ndarray:
    """Compare detections with those of the contract and return their counts.

    With `is_full` given, the boxes that must not be used are NaN.
    """
    boxes, scores = (np.stack(values) for values in zip(*scenes, strict=True))
    few = [np.stack(values) for values in zip(*(shortlist(*one) for one in scenes), strict=True)]
    if is_full is not None:
        unused = few[0] if is_full else boxes
        expected_boxes, unused[...] = boxes.copy(), np.nan
    else:
        expected_boxes = boxes
    inputs = dict(zip(THRESHOLD_INPUTS, np.asarray(thresholds, dtype=np.float32).T, strict=True))
    rows, counts = session(below).run(None, dict(zip(INPUTS, [*few, boxes, scores], strict=True)) | inputs)
    assert rows.shape == (len(scenes), MANY, 6)
    for found, count, image, values, one in zip(rows, counts, expected_boxes, scores, thresholds, strict=True):
        np.testing.assert_array_equal(found[:count], select(image, values, one, below))
        assert not found[count:].any()
    return counts


@pytest.mark.parametrize(
    ("alive", "is_full"),
    [(0, False), (20, False), (FEW - 1, False), (FEW, True), (FEW + 1, True), (MANY, True)],
    ids=["none", "few", "one place left", "no place left", "one too many", "all"],
)
def test_all_candidates_are_used_only_if_needed(alive: int, is_full: bool) -> None:
    counts = assert_exact([scene(alive)], [USUAL], 0.0, is_full)
    assert (counts[0] > FEW) == (alive == MANY)


def test_score_above_the_bound_needs_all_candidates() -> None:
    """The bound is no score: the best prediction outside the shortlist may be lower, or higher by a rounding error."""
    boxes, scores = scene(20)
    few_boxes, few_scores, _ = shortlist(boxes, scores)
    inputs = dict(zip(THRESHOLD_INPUTS, np.asarray([USUAL], dtype=np.float32).T, strict=True))
    for bound, is_full in ((0.49999, False), (0.5, True), (0.6, True)):
        marked = few_boxes + 1000 * is_full, few_scores, np.float32(bound), boxes + 1000 * (not is_full), scores
        feeds = {name: value[None] for name, value in zip(INPUTS, marked, strict=True)}
        rows, counts = session().run(None, feeds | inputs)
        np.testing.assert_array_equal(rows[0, : counts[0]], select(boxes, scores, USUAL, 0.0))


@pytest.mark.parametrize(("alive", "is_full"), [(40, False), (60, True)])
def test_shortlist_has_places_for_every_class_of_its_boxes(alive: int, is_full: bool) -> None:
    """Three classes of 40 boxes fit into 128 rows, those of 60 boxes do not."""
    boxes, scores = scene(alive)
    scores[scores[:, 0] > 0.5] = 0.9, 0.8, 0.7
    assert_exact([(boxes, scores)], [USUAL], 1.0, is_full)


def test_one_image_of_a_batch_decides_for_all() -> None:
    assert_exact([scene(10), scene(0), scene(200, seed=1)], [USUAL] * 3, 0.0, is_full=True)
    assert_exact([scene(10), scene(0), scene(100, seed=1)], [USUAL] * 3, 0.0, is_full=False)


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(0, 3),
    st.lists(
        st.builds(
            NMSThresholds,
            score=st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]),
            iou=st.sampled_from([0.0, 0.45, 1.0]),
            distance_weight=st.sampled_from([0.0, 1.0]),
        ),
        min_size=2,
        max_size=2,
    ),
)
def test_detections_equal_the_contract(seed: int, digits: int, thresholds: list[NMSThresholds]) -> None:
    """Few digits make equal scores frequent."""
    rng = np.random.default_rng(seed)
    scenes = [scene(int(rng.integers(MANY)), int(part)) for part in rng.integers(10**6, size=2)]
    assert_exact([(boxes, scores.round(digits)) for boxes, scores in scenes], thresholds, 0.0, None)


def test_rows_of_all_predictions_exist_only_in_the_branch(tiny: ExportedModel) -> None:
    """The maps are transposed to rows only where the shortlist does not suffice. One transposition is the input's."""
    graph = tiny.end_to_end.graph
    (choice,) = (node for node in graph.node if node.op_type == "If" and "ranked_rows" in node.output)
    branches = {attribute.name: attribute.g for attribute in choice.attribute}
    assert [node.op_type for node in graph.node].count("Transpose") == 1
    assert "Transpose" not in {node.op_type for node in branches["then_branch"].node}
    assert "Transpose" in {node.op_type for node in branches["else_branch"].node}
