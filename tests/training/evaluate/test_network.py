"""The network in torch gives the outputs of its exported graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_zoo.contract import pipeline
from tests.exports import ExportedModel
from tests.training.evaluate.conftest import draw_image
from training.evaluate import network
from training.evaluate.network import _select, network_run


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


@pytest.mark.parametrize(("threads", "images"), [(2, 3), (3, 2), (1, 2), (2, 1)])
def test_threads_share_the_images_of_a_batch(
    threads: int, images: int, tiny: ExportedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [pipeline.preprocess(tiny.card, draw_image(seed)) for seed in range(images)]
    feeds = pipeline.collate(items, [pipeline.make_query(tiny.card, score=0.1)] * images)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone, counts_alone = network_run(tiny.detector, tiny.card)(feeds)
        torch.set_num_threads(threads)
        parts: list[int] = []
        monkeypatch.setattr(network, "_select", lambda *args: parts.append(len(args[2])) or _select(*args))
        shared, counts = network_run(tiny.detector, tiny.card)(feeds)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(parts) == min(threads, images)
    assert sum(parts) == images
    assert counts.tolist() == counts_alone.tolist()
    np.testing.assert_allclose(shared, alone, atol=1e-2)
