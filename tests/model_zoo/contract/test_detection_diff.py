"""Pairs and differences of the detections of two models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.contract.detection_diff import (
    DEFAULT_LIMITS,
    DetectionPair,
    DiffLimits,
    count_differences,
    pair_detections,
)
from model_zoo.contract.detections import Detections
from tests.model_zoo.contract.detection_rows import CAT, NAMES, Row, detections


def counts(first: Detections, second: Detections, limits: DiffLimits = DEFAULT_LIMITS) -> dict[tuple[str, str], int]:
    return dict(count_differences(pair_detections(first, second, NAMES, NAMES, limits), limits))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ([CAT], {("cat", "same"): 1}),
        ([], {("cat", "lost"): 1}),
        ([CAT, (200, 200, 300, 300, 0.5, 1)], {("cat", "same"): 1, ("dog", "found"): 1}),
        ([(0, 0, 100, 90, 0.9, 0)], {("cat", "moved"): 1}),
        ([(0, 0, 100, 96, 0.9, 0)], {("cat", "same"): 1}),
        ([(0, 0, 100, 100, 0.8, 0)], {("cat", "rescored"): 1}),
        ([(0, 0, 100, 100, 0.86, 0)], {("cat", "same"): 1}),
        ([(0, 0, 100, 60, 0.2, 0)], {("cat", "moved"): 1, ("cat", "rescored"): 1}),
        ([(0, 0, 100, 49, 0.9, 0)], {("cat", "lost"): 1, ("cat", "found"): 1}),
        ([(0, 0, 100, 100, 0.9, 1)], {("cat", "lost"): 1, ("dog", "found"): 1}),
    ],
)
def test_each_difference_is_counted(second: list[Row], expected: dict[tuple[str, str], int]) -> None:
    assert counts(detections(CAT), detections(*second)) == expected


def test_best_score_picks_its_partner_first() -> None:
    first = detections((0, 0, 100, 100, 0.9, 0), (0, 0, 100, 80, 0.8, 0))
    second = detections((0, 0, 100, 90, 0.9, 0))
    pairs = pair_detections(first, second, NAMES, NAMES)
    assert [(p.first, p.second) for p in pairs] == [(0, 0), (1, None)]
    assert pairs[0].iou == pytest.approx(0.9)


def test_classes_are_compared_by_name() -> None:
    pairs = pair_detections(detections(CAT), detections((0, 0, 100, 100, 0.7, 1)), NAMES, ("dog", "cat"))
    (pair,) = pairs
    assert (pair.label, pair.first, pair.second) == ("cat", 0, 0)
    assert pair.score_change == pytest.approx(-0.2)


def test_limits_are_options() -> None:
    second = detections((0, 0, 100, 40, 0.6, 0))
    assert counts(detections(CAT), second, DiffLimits(0.3, 0.3, 0.5)) == {("cat", "same"): 1}


def test_nothing_has_no_differences() -> None:
    assert counts(detections(), detections()) == {}
    assert counts(detections(), detections(CAT)) == {("cat", "found"): 1}


ROWS = st.lists(
    st.tuples(
        *[st.integers(0, 9)] * 2, *[st.integers(10, 19)] * 2, st.integers(1, 9).map(lambda n: n / 10), st.integers(0, 1)
    ),
    max_size=6,
)


@given(ROWS, ROWS)
def test_every_detection_is_in_exactly_one_pair(first: list[Row], second: list[Row]) -> None:
    one, two = (detections(*sorted(rows, key=lambda row: -row[4])) for rows in (first, second))
    pairs = pair_detections(one, two, NAMES, NAMES)
    assert sorted(p.first for p in pairs if p.first is not None) == list(range(len(one)))
    assert sorted(p.second for p in pairs if p.second is not None) == list(range(len(two)))
    assert all(p.iou >= 0.5 for p in pairs if p.first is not None and p.second is not None)
    assert all(p.differences() == ("same",) for p in pair_detections(one, one, NAMES, NAMES))


def test_pair_with_both_changes_has_both_differences() -> None:
    assert DetectionPair("cat", 0, 0, 0.6, 0.3).differences() == ("moved", "rescored")
