"""Curves and confusion matrix against reference numbers."""

from __future__ import annotations

import numpy as np

from model_zoo.contract.boxes import pairwise_iou
from tests.training.evaluate.scene import Scene
from training.evaluate.curves import confusion_matrix, curves


def test_precision_and_recall_at_the_best_score(scene: Scene) -> None:
    result = curves(scene.records, scene.detections, 4)
    for name in ("precision", "recall", "f1"):
        expected = scene.reference[f"yolov5_{name[0] if name != 'f1' else name}"]
        np.testing.assert_allclose(getattr(result, name)[:, result.best], expected, atol=1e-9)


def test_confusion_matrix(scene: Scene) -> None:
    """The original counts false detections only on images with a match. Here they count on all images."""
    matrix = confusion_matrix(scene.records, scene.detections, 4)
    expected = scene.reference["yolov5_confusion"]
    np.testing.assert_array_equal(matrix[:, :4], expected[:, :4])
    pairs = zip(scene.records, scene.detections, strict=True)
    with_a_pair = [(r, d) for r, d in pairs if (pairwise_iou(r.boxes[~r.crowd], d.boxes[d.scores > 0.25]) > 0.45).any()]
    records, detections = zip(*with_a_pair, strict=True)
    np.testing.assert_array_equal(confusion_matrix(records, detections, 4)[:4, 4], expected[:4, 4])
    assert matrix[:4].sum() == sum((d.scores > 0.25).sum() for d in scene.detections)
