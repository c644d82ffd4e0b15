"""The memory budget for request bodies."""

from __future__ import annotations

import pytest

from service.inference.errors import MemoryFull
from service.inference.memory import MemoryBudget


def test_reserved_bytes_are_released() -> None:
    budget = MemoryBudget(10)
    with budget.reserve() as first, budget.reserve() as second:
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
