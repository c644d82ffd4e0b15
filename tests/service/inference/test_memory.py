"""The memory budget for request bodies."""

from __future__ import annotations

import pytest

from service.inference.errors import MemoryFull
from service.inference.memory import MemoryBudget


def test_reserved_bytes_are_released() -> None:
    budget = MemoryBudget(10)
    with budget.reserve("a") as first, budget.reserve("b") as second:
        first.add(4)
        second.add(6)
        assert budget.free == 0
        with pytest.raises(MemoryFull, match="try again later"):
            first.add(1)
    assert budget.free == 10


def test_bytes_are_released_after_an_error() -> None:
    budget = MemoryBudget(10)

    def fail() -> None:
        with budget.reserve() as reservation:
            reservation.add(7)
            reservation.add(4)

    with pytest.raises(MemoryFull):
        fail()
    assert budget.free == 10


def test_requests_of_one_client_leave_as_much_free_as_they_hold() -> None:
    budget = MemoryBudget(100)
    with budget.reserve("slow") as first, budget.reserve("slow") as second, budget.reserve("other") as other:
        first.add(25)
        second.add(25)
        with pytest.raises(MemoryFull, match="of one client"):
            second.add(1)
        other.add(50)
    assert (budget.free, dict(budget.held)) == (100, {})


def test_reservation_can_change_its_size() -> None:
    budget = MemoryBudget(10)
    with budget.reserve("a") as first:
        first.resize(8)
        first.resize(3)
        assert (budget.free, budget.held["a"]) == (7, 3)
        with pytest.raises(MemoryFull):
            first.resize(11)
        assert first.size == 3
        first.resize(0)
        assert dict(budget.held) == {}
    assert budget.free == 10


def test_single_request_may_use_the_whole_budget() -> None:
    budget = MemoryBudget(100)
    with budget.reserve("a") as only:
        only.add(60)
        only.add(40)
        assert budget.free == 0
