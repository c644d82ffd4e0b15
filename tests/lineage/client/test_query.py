"""Options as query parameters, read by the server's own parser."""

from __future__ import annotations

import pytest

from lineage.client.query import Query
from model_zoo.contract.class_filter import parse_classes


def test_only_given_options_are_sent() -> None:
    assert Query().params() == []
    given = Query("toy@1", 0.25, 0.5, "iou", None, 3).params()
    assert given == [("model", "toy@1"), ("score", "0.25"), ("iou", "0.5"), ("nms", "iou"), ("max_detections", "3")]


@pytest.mark.parametrize(
    ("classes", "parsed"),
    [
        (["person", 2], ["person", "id:2"]),
        (["cup, glass", 'the "big" one'], ["cup, glass", 'the "big" one']),
        ("person", ["person"]),
        ("a,b", ["a,b"]),
        (["", "7"], ["", "7"]),
    ],
)
def test_classes_arrive_as_given(classes: list[str | int] | str, parsed: list[str]) -> None:
    assert parse_classes(value for _, value in Query(classes=classes).params()) == parsed


def test_empty_list_of_classes_means_all() -> None:
    assert Query(classes=[]).params() == []


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="threshold"):
        Query(threshold=0.5)  # ty: ignore[unknown-argument]
