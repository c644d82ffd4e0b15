"""A limit on the bytes that all requests together hold in memory, with a share for each client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.inference.errors import MemoryFull


@dataclass
class Reservation:
    """The bytes that one request holds."""

    budget: MemoryBudget
    """The budget they count against."""
    client: str = ""
    """The client that sends them."""
    size: int = 0
    """Bytes reserved so far."""

    def add(self, size: int) -> None:
        """Reserve more bytes.

        With several requests, a client holds at most as much as it leaves free. So slow uploads of one client never
        fill the memory.

        Raises:
            MemoryFull: the budget has fewer bytes left, or the client's share is used up.
        """
        budget = self.budget
        if size > budget.free:
            raise MemoryFull("the request bodies in memory are at their limit; try again later")
        held = budget.held[self.client]
        if held > self.size and held + size > budget.free - size:
            raise MemoryFull("the request bodies of one client in memory are at their limit; send fewer at a time")
        budget.free -= size
        budget.held[self.client] += size
        self.size += size

    def resize(self, size: int) -> None:
        """Reserve `size` bytes instead of those reserved so far.

        Raises:
            MemoryFull: as `add`. Nothing changes.
        """
        if size > self.size:
            self.add(size - self.size)
            return
        self.budget.free += self.size - size
        self.budget.held[self.client] -= self.size - size
        self.size = size
        if not self.budget.held[self.client]:
            del self.budget.held[self.client]


@dataclass
class MemoryBudget:
    """Limits the bytes in memory. Used on the event loop only."""

    free: int
    """Bytes that are not reserved."""
    held: Counter[str] = field(default_factory=Counter)
    """Bytes that each client holds."""

    @contextmanager
    def reserve(self, client: str = "") -> Iterator[Reservation]:
        """Yield an empty reservation, and release its bytes at the end of the block."""
        reservation = Reservation(self, client)
        try:
            yield reservation
        finally:
            reservation.resize(0)
