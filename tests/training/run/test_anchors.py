"""Anchors: recall and fitness, fitting, and setting them in a detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.families.yolov5 import P5_ANCHORS
from model_zoo.registry import build
from training.data.dataset import Record
from training.run import anchors
from training.run.anchors import (
    balance_classes,
    best_possible_recall,
    box_sizes,
    cluster_iou,
    fit_anchors,
    fit_if_poor,
    fitness,
    mean_iou,
    set_anchors,
)

SHAPES = np.array([[10, 20], [40, 30], [90, 150]])


@pytest.fixture
def boxes() -> np.ndarray:
    """Boxes of three shapes with small variations."""
    return (SHAPES[:, None] * np.random.default_rng(0).uniform(0.95, 1.05, (3, 50, 2))).reshape(-1, 2)


class Reference:
    """AutoAnchor's results on a set of boxes."""

    def __init__(self, shared: Path, name: str) -> None:
        folder = shared / "parity/training/autoanchor"
        self.results = json.loads((folder / "seed3.json").read_text())["results"][name]
        self.boxes = np.load(folder / "seed3.npz")[f"{name}_wh_px"]


@pytest.mark.parametrize("name", ["coco", "small"])
def test_recall_and_fitness_equal_autoanchors(shared, name):
    reference = Reference(shared, name)
    expected = reference.results["default_coco_anchors"]
    assert best_possible_recall(P5_ANCHORS, reference.boxes) == pytest.approx(expected["bpr"], abs=1e-6)
    assert fitness(P5_ANCHORS, reference.boxes) == pytest.approx(expected["fitness"], abs=1e-6)


@pytest.mark.parametrize("name", ["coco", "small"])
@pytest.mark.parametrize("per_level", [2, 3])
def test_fitted_anchors_are_as_good_as_autoanchors(shared, name, per_level):
    reference = Reference(shared, name)
    fitted = fit_anchors(reference.boxes, 3, per_level, generations=300)
    runs = reference.results[f"kmean_anchors_n{3 * per_level}"]["fitness_5_runs"]
    assert fitness(fitted, reference.boxes) > max(runs) - 0.005


@pytest.mark.parametrize("fit", [fit_anchors, cluster_iou])
def test_fitted_anchors_match_the_shapes_of_the_boxes(boxes, fit):
    fitted = fit(boxes, 3, 1)
    assert fitted.shape == (3, 1, 2)
    np.testing.assert_allclose(fitted[:, 0], SHAPES, rtol=0.06)


@pytest.mark.parametrize("fit", [fit_anchors, cluster_iou])
def test_same_seed_gives_the_same_anchors(boxes, fit):
    np.testing.assert_array_equal(fit(boxes, 2, 2, seed=5), fit(boxes, 2, 2, seed=5))


def test_clusters_by_iou_have_a_higher_mean_iou_than_those_by_ratio(shared):
    sizes = Reference(shared, "coco").boxes
    assert mean_iou(cluster_iou(sizes, 1, 5), sizes) > mean_iou(fit_anchors(sizes, 1, 5), sizes)


@pytest.mark.parametrize("fit", [fit_anchors, cluster_iou])
@pytest.mark.parametrize("sizes", [[[30, 40]], [[30, 40]] * 5, [[30, 40], [60, 20]], [[5, 5], [0, 7], [9, 9], [30, 1]]])
def test_few_boxes_give_the_requested_number_of_anchors(fit, sizes):
    fitted = fit(sizes, 3, 3)
    assert fitted.shape == (3, 3, 2)
    assert (fitted > 0).all()
    assert (np.diff(fitted.reshape(9, 2).prod(1)) >= 0).all()


@pytest.mark.parametrize("sizes", [np.empty((0, 2)), [[1.0, 1.5]], [[0.0, 50.0]]])
def test_no_usable_boxes_is_an_error(sizes):
    with pytest.raises(LineageError, match="got none"):
        fit_anchors(sizes, 3, 3)


def test_large_dataset_is_sampled(monkeypatch, boxes):
    monkeypatch.setattr(anchors, "MAX_BOXES", 60)
    np.testing.assert_allclose(fit_anchors(boxes, 3, 1)[:, 0], SHAPES, rtol=0.06)


def test_side_of_four_times_the_anchors_does_not_match():
    assert best_possible_recall([[10, 10]], [[40, 10], [39, 10], [2.5, 10], [0, 10]]) == 0.25
    assert best_possible_recall([[10, 10]], np.empty((0, 2))) == 1.0


def test_box_sizes_are_scaled_to_the_canvas_without_crowds():
    box = np.array([[0, 0, 100, 50], [0, 0, 640, 480]], np.float32)
    record = Record(Path("a.jpg"), (480, 640), box, np.zeros(2, np.int64), np.array([False, True]), box[:, 2], 1)
    sizes, class_ids = box_sizes([record], 320)
    np.testing.assert_allclose(sizes, [[50, 25]])
    assert class_ids.tolist() == [0]
    assert box_sizes([], 320)[0].shape == (0, 2)


def test_balanced_classes_are_equally_frequent():
    sizes = np.repeat([[9.0, 9.0], [200.0, 8.0]], [5000, 2], axis=0)
    class_ids = np.repeat([4, 7], [5000, 2])
    drawn = balance_classes(sizes, class_ids)
    assert ((drawn == (200, 8)).all(1)).mean() == 0.5
    assert balance_classes(sizes[:0], class_ids[:0]).shape == (0, 2)


def test_matching_anchors_are_kept(boxes):
    detector = build("yolov5-test", num_classes=2)
    assert not fit_if_poor(detector, boxes)
    assert detector.head.anchors.tolist() == [[list(map(float, a)) for a in level] for level in P5_ANCHORS]
    assert not fit_if_poor(detector, np.empty((0, 2)))


def test_badly_matching_anchors_are_replaced():
    detector = build("yolov5-test", num_classes=2)
    thin = np.array([[2.0, 40.0], [3.0, 100.0], [4.0, 300.0]]).repeat(20, axis=0)
    assert fit_if_poor(detector, thin)
    fitted = detector.head.anchors.numpy()
    assert best_possible_recall(fitted, thin) == 1
    assert (np.diff(fitted.prod(-1).mean(1)) >= 0).all()


def test_smallest_anchors_are_set_at_the_finest_stride():
    detector = build("yolov5-test", num_classes=2)
    set_anchors(detector, P5_ANCHORS[::-1])
    assert detector.head.anchors.tolist() == [[list(map(float, a)) for a in level] for level in P5_ANCHORS]


@pytest.mark.parametrize("variant", ["yolov2-test", "yolov3-test", "yolov4-test", "yolov7-test"])
def test_anchors_of_every_anchor_head_can_be_set(variant):
    detector = build(variant, num_classes=2)
    levels, per_level, _ = detector.head.anchors.shape
    fitted = cluster_iou(np.random.default_rng(0).uniform(10, 200, (100, 2)), levels, per_level)
    set_anchors(detector, fitted)
    np.testing.assert_allclose(detector.head.anchors.numpy(), fitted, rtol=1e-6)


@pytest.mark.parametrize(
    ("variant", "given"),
    [("yolox-test", [[[1, 1]]]), ("yolov5-test", [[[1, 1]]]), ("yolov5-test", np.zeros((3, 3, 2)))],
)
def test_unsuitable_anchors_are_an_error(variant, given):
    with pytest.raises(LineageError, match="anchors"):
        set_anchors(build(variant, num_classes=2), given)
