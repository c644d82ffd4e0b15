"""The network in torch gives the outputs of its exported graph."""

from __future__ import annotations

import numpy as np

from model_zoo.contract import pipeline
from tests.exports import ExportedModel
from tests.training.evaluate.conftest import draw_image
from training.evaluate.network import network_run


def test_network_matches_the_exported_graph(tiny: ExportedModel) -> None:
    items = [pipeline.preprocess(tiny.card, draw_image(seed)) for seed in range(3)]
    queries = [pipeline.make_query(tiny.card, score=score, iou=0.6) for score in (0.3, 0.5, 0.7)]
    feeds = pipeline.collate(items, queries)
    expected_rows, expected_counts = tiny.session().run(["detections", "count"], dict(feeds))
    rows, counts = network_run(tiny.detector, tiny.card)(feeds)
    assert rows.shape == (3, tiny.card.max_detections, 6)
    assert counts.tolist() == expected_counts.tolist()
    for actual, expected, count in zip(rows, expected_rows, counts, strict=True):
        np.testing.assert_allclose(actual[:count], expected[:count], atol=1e-2)
        assert not actual[count:].any()
