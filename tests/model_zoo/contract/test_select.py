"""Selection among the predictions of one image."""

from __future__ import annotations

import numpy as np

from model_zoo.contract.select import NMSThresholds, above_threshold, select

BOXES = np.asarray([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
SCORES = np.asarray([[0.9, 0.3], [0.6, 0.5], [0.1, 0.4]], np.float32)


def test_threshold_is_exclusive() -> None:
    indices, class_ids, scores = above_threshold(SCORES, 0.6, multi_label_below=0.0)
    assert (indices.tolist(), class_ids.tolist()) == ([0], [0])
    np.testing.assert_array_equal(scores, SCORES[0, :1])


def test_best_class_counts_from_multi_label_below() -> None:
    indices, class_ids, _ = above_threshold(SCORES, 0.25, multi_label_below=0.25)
    assert list(zip(indices.tolist(), class_ids.tolist(), strict=True)) == [(0, 0), (1, 0), (2, 1)]


def test_all_classes_count_below_multi_label_below() -> None:
    indices, class_ids, _ = above_threshold(SCORES, 0.25, multi_label_below=0.3)
    assert list(zip(indices.tolist(), class_ids.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)]


def test_select_returns_rows_of_the_graph_best_first() -> None:
    rows = select(BOXES, SCORES, NMSThresholds(0.2, 0.5, 0.0), multi_label_below=0.0)
    np.testing.assert_allclose(rows, [[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.4, 1]])
    assert len(select(BOXES, SCORES, NMSThresholds(0.2, 0.5, 0.0), 0.0, limit=1)) == 1
    assert select(BOXES, SCORES, NMSThresholds(0.95, 0.5, 0.0), 0.0).shape == (0, 6)
