"""A limit on the bytes that all requests together hold in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.inference.errors import MemoryFull


@dataclass
class Reservation:
    """The bytes that one request holds."""

    budget: MemoryBudget
    """The budget they count against."""
    size: int = 0
    """Bytes reserved so far."""

    def add(self, size: int) -> None:
        """Reserve more bytes.

        Raises:
            MemoryFull: the budget has fewer bytes left.
        """
        if size > self.budget.free:
            raise MemoryFull("the request bodies in memory are at their limit; try again later")
        self.budget.free -= size
        self.size += size


@dataclass
class MemoryBudget:
    """Limits the bytes in memory. Used on the event loop only."""

    free: int
    """Bytes that are not reserved."""

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Yield an empty reservation, and release its bytes at the end of the block."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.free += reservation.size
