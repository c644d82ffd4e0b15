"""Head of YOLOv1: order of the vector, decoding, ranking."""

from __future__ import annotations

import pytest
import torch

from model_zoo.heads.grid import GridHead


@pytest.fixture
def head() -> GridHead:
    """Return a head of 2 x 2 cells of 64 pixels, three classes and two boxes: 4 * (3 + 10) = 52 numbers."""
    return GridHead(6, 3, boxes=2, cells=2)


def test_order_of_the_raw_vector(head: GridHead) -> None:
    vector = torch.arange(52.0)[None]
    rows = head.rows([vector])
    assert rows.shape == (1, 8, 8)
    cell, box = 2, 1
    confidence = 12 + cell * 2 + box
    first = 20 + (cell * 2 + box) * 4
    assert rows[0, cell * 2 + box].tolist() == [first, first + 1, first + 2, first + 3, confidence, 6, 7, 8]


def test_decoding_squares_sizes_and_clamps_scores(head: GridHead) -> None:
    rows = torch.tensor([[[0.25, 0.5, 0.5, -0.25, 0.5, 0.5, -0.5, 4.0]]]).expand(1, 8, 8)
    boxes, scores = head.decode(rows, head.priors([rows]))
    x, y, width, height = (1 + 0.25) * 64, (0 + 0.5) * 64, 0.25 * 128, 0.0625 * 128
    assert boxes[0, 3].tolist() == [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert scores[0, 3].tolist() == [0.25, 0, 1]


def test_ranking_is_the_highest_score(head: GridHead) -> None:
    torch.manual_seed(0)
    rows = torch.rand(2, 8, 8)
    _, scores = head.decode(rows, head.priors([rows]))
    torch.testing.assert_close(head.ranking(rows), scores.amax(-1))
