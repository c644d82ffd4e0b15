from __future__ import annotations

import pytest

from model_zoo.contract.plural import plural


@pytest.mark.parametrize(
    ("count", "noun", "expected"),
    [
        (1, "epoch", "1 epoch"),
        (3, "epoch", "3 epochs"),
        (0, "image", "0 images"),
        (2, "batch", "2 batches"),
        (1, "class", "1 class"),
        (3, "class", "3 classes"),
        (2, "entry", "2 entries"),
        (12345, "box", "12,345 boxes"),
    ],
)
def test_noun_agrees_with_its_count(count: int, noun: str, expected: str) -> None:
    assert plural(count, noun) == expected
