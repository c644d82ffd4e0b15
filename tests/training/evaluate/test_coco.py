"""COCO metrics against pycocotools."""

from __future__ import annotations

import contextlib
import io
from dataclasses import astuple, replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from model_zoo.contract.detections import Detections
from tests.training.evaluate.scene import Scene
from training.evaluate import coco


def test_metrics_match_pycocotools(scene: Scene) -> None:
    scored = coco.score(scene.dataset, scene.records, scene.detections)
    np.testing.assert_allclose(astuple(scored.metrics)[:12], scene.reference["stats"], atol=1e-6)
    np.testing.assert_allclose([c.ap for c in scored.metrics.classes], scene.reference["ap_per_category"], atol=1e-6)
    np.testing.assert_allclose(
        [c.ap50 for c in scored.metrics.classes], scene.reference["ap50_per_category"], atol=1e-6
    )
    np.testing.assert_allclose(scored.precision[0], scene.reference["precision_iou50_all_100"], atol=1e-6)
    np.testing.assert_allclose(scored.precision[5], scene.reference["precision_iou75_all_100"], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_random_detections_match_pycocotools(scene: Scene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    records = [replace(r, crowd=rng.random(len(r.crowd)) < 0.1) for r in scene.records]
    detections = [
        Detections(d.boxes + rng.normal(0, 3, d.boxes.shape), rng.random(len(d)).round(2), d.class_ids)
        for d in scene.detections
    ]
    results = coco.results(records, detections, range(4))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = coco.ground_truth(scene.dataset, records)
        truth.createIndex()
        oracle = COCOeval(truth, truth.loadRes(results), "bbox")
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    scored = coco.score(scene.dataset, records, detections)
    np.testing.assert_allclose(astuple(scored.metrics)[:12], oracle.stats, atol=1e-9)


def test_no_detections_score_zero(scene: Scene) -> None:
    empty = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    metrics = coco.score(scene.dataset, scene.records, [empty] * len(scene.records)).metrics
    assert metrics.ap == 0
    assert [c.ap for c in metrics.classes] == [0, 0, 0, 0]
