"""Ordered work in threads: order, bounds, errors."""

from __future__ import annotations

import itertools
import threading

import pytest

from model_zoo.contract.ordered_map import ordered_map


def test_results_keep_the_order_of_the_items() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            second_done.wait(10)  # the first item ends last
        else:
            second_done.set()
        return item * 2

    assert list(ordered_map(work, range(5), threads=2)) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(("limit", "expected"), [(0, 2), (5, 5)])
def test_items_are_taken_as_needed(limit: int, expected: int) -> None:
    taken: list[int] = []
    results = ordered_map(str, (taken.append(i) or i for i in itertools.count()), threads=2, limit=limit)  # type: ignore[func-returns-value]
    assert next(results) == "0"
    assert len(taken) == expected
    assert next(results) == "1"
    assert len(taken) == expected + 1
    results.close()


def test_limit_of_the_newest_item_holds_for_those_before_it() -> None:
    taken: list[int] = []
    results = ordered_map(str, (taken.append(i) or i for i in itertools.count()), 8, lambda item: 1 if item == 2 else 4)  # type: ignore[func-returns-value]
    assert [next(results), len(taken), next(results), next(results), len(taken)] == ["0", 3, "1", "2", 3]
    assert (next(results), len(taken)) == ("3", 7)
    results.close()


def test_abandoned_work_is_not_started() -> None:
    started: list[int] = []
    gate = threading.Event()

    def work(item: int) -> None:
        started.append(item)
        if item:
            gate.wait(0.2)

    results = ordered_map(work, range(100), threads=1, limit=50)
    next(results)
    results.close()
    assert started in ([0], [0, 1])


def test_error_of_an_item_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda item: 1 // item, [1, 0, 1], threads=2))
