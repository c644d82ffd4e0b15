"""NMS against scenes of the original programs, and properties of a greedy pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.contract.boxes import cxcywh_to_xyxy, pairwise_diou, pairwise_iou
from model_zoo.contract.nms import nms

SCENES = [*map(str, range(20)), "exact"]
REFERENCES = [
    ("pj", "nms_sort", 0.0),
    ("ab", "nms_sort", 0.0),
    ("di", "nms_sort", 0.0),
    ("ab", "diounms_b10", 1.0),
    ("di", "diounms_b10", 1.0),
]

Scene = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def crowds(draw: st.DrawFn) -> Scene:
    """Boxes, scores, classes of up to 200 crowded candidates: several blocks of the implementation."""
    count, classes = draw(st.integers(0, 200)), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    center, size = random.uniform(0, 60, (count, 2)), random.uniform(5, 40, (count, 2))
    boxes = cxcywh_to_xyxy(np.concatenate([center, size], axis=1)).astype(np.float32)
    scores = random.permutation(np.linspace(0.01, 0.99, count, dtype=np.float32))
    return boxes, scores, random.integers(0, classes, count)


thresholds = st.floats(0, 1, width=32)
weights = st.sampled_from([0.0, 0.5, 1.0])


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("program", "kind", "distance_weight"), REFERENCES)
def test_matches_the_original_programs(
    shared: Path, scene: str, program: str, kind: str, distance_weight: float
) -> None:
    with np.load(shared / "parity/boxes/nms_scenes.npz") as file:
        boxes, prob = cxcywh_to_xyxy(file[f"{scene}.boxes"]), file[f"{scene}.prob"]
        takes_part = (prob > 0) & (file[f"{scene}.objectness"] > 0)[:, None]
        expected = file[f"{scene}.{program}.{kind}"]
    index, class_ids = np.nonzero(takes_part)
    threshold = 0.5 if scene == "exact" else 0.45
    kept = nms(boxes[index], prob[index, class_ids], class_ids, threshold, distance_weight)
    kept = kept[np.argsort(class_ids[kept], kind="stable")]  # the reference lists class by class
    np.testing.assert_array_equal(np.stack([class_ids[kept], index[kept]], axis=1), expected)


@given(crowds(), thresholds, weights)
def test_result_satisfies_the_definition(scene: Scene, threshold: float, weight: float) -> None:
    boxes, scores, class_ids = scene
    kept = nms(boxes, scores, class_ids, threshold, weight)
    assert (np.diff(scores[kept]) < 0).all()
    order = np.argsort(-scores, kind="stable")
    is_kept = np.isin(order, kept)
    same_class = class_ids[order][:, None] == class_ids[order][None]
    suppresses = np.triu((pairwise_diou(boxes[order], boxes[order], weight) > np.float32(threshold)) & same_class, k=1)
    np.testing.assert_array_equal(is_kept, ~(suppresses & is_kept[:, None]).any(axis=0))


@given(crowds(), thresholds, weights, st.randoms(use_true_random=False))
def test_candidate_order_does_not_matter(scene: Scene, threshold: float, weight: float, random: object) -> None:
    boxes, scores, class_ids = scene
    shuffled = np.arange(len(scores))
    random.shuffle(shuffled)
    kept = nms(boxes[shuffled], scores[shuffled], class_ids[shuffled], threshold, weight)
    np.testing.assert_array_equal(shuffled[kept], nms(boxes, scores, class_ids, threshold, weight))


@given(crowds(), thresholds, weights)
def test_classes_are_independent(scene: Scene, threshold: float, weight: float) -> None:
    boxes, scores, class_ids = scene
    alone = [np.empty(0, np.int64)]
    for class_id in np.unique(class_ids):
        selected = np.flatnonzero(class_ids == class_id)
        alone.append(selected[nms(boxes[selected], scores[selected], class_ids[selected], threshold, weight)])
    together = nms(boxes, scores, class_ids, threshold, weight)
    np.testing.assert_array_equal(np.sort(together), np.sort(np.concatenate(alone)))


@given(crowds(), thresholds, weights)
def test_nms_is_idempotent(scene: Scene, threshold: float, weight: float) -> None:
    boxes, scores, class_ids = scene
    kept = nms(boxes, scores, class_ids, threshold, weight)
    again = nms(boxes[kept], scores[kept], class_ids[kept], threshold, weight)
    np.testing.assert_array_equal(again, np.arange(len(kept)))


@given(crowds(), thresholds, weights, st.integers(1, 70))
def test_limit_truncates_the_result(scene: Scene, threshold: float, weight: float, limit: int) -> None:
    boxes, scores, class_ids = scene
    everything = nms(boxes, scores, class_ids, threshold, weight)
    np.testing.assert_array_equal(nms(boxes, scores, class_ids, threshold, weight, limit), everything[:limit])


def test_equal_scores_are_ordered_by_index() -> None:
    boxes = np.asarray([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    kept = nms(boxes, np.full(3, 0.5, np.float32), np.zeros(3, np.int64), 0.5)
    np.testing.assert_array_equal(kept, [0, 2])


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_measure_equal_to_the_threshold_is_kept(kind: type) -> None:
    boxes = np.asarray([[0, 0, 10, 10], [3, 0, 13, 10]], np.float32)
    scores, class_ids = np.asarray([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    exact = pairwise_iou(boxes, boxes)[0, 1]
    assert len(nms(boxes, scores, class_ids, kind(exact), 0.0)) == 2
    assert len(nms(boxes, scores, class_ids, kind(np.nextafter(exact, np.float32(0))), 0.0)) == 1


def test_empty_boxes_do_not_suppress() -> None:
    points = np.zeros((3, 4), np.float32)
    assert len(nms(points, np.asarray([0.3, 0.2, 0.1], np.float32), np.zeros(3, np.int64), 0.45)) == 3


def test_empty_input() -> None:
    kept = nms(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), 0.45)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64
