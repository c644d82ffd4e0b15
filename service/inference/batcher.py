"""Bounded, deadline-aware dynamic batching; knows neither HTTP nor pixels.

    batcher = Batcher(run, workers=1, max_batch=8, max_delay=0.002, queue_size=64)
    answer = await batcher.submit(item, group=(640, 640), deadline=loop.time() + 5)
    await batcher.close()  # answers what was accepted

Items of one group may run together. A batch starts when a worker is idle and the batch is full, or its oldest item has
waited `max_delay`. Nothing polls: arrivals, finished batches and one timer drive it. All state belongs to the event
loop; only `run` is called in worker threads.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


Outcomes = asyncio.Future[list[Result | Exception]]


class QueueFull(Exception):
    """As many items are waiting as may wait."""


class DeadlineExceeded(Exception):
    """The item was not answered in time."""


class Closed(Exception):
    """No more items are accepted."""


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """A result, the seconds it waited for a worker and ran, and how many items ran with it."""

    value: Result
    waited: float
    ran: float
    batch: int


@dataclass(eq=False)
class _Ticket(Generic[Item, Result]):
    item: Item
    future: asyncio.Future[Answer[Result]]
    arrived: float
    deadline: float

    def expire(self) -> None:
        if not self.future.done():
            self.future.set_exception(DeadlineExceeded("the answer did not come before the deadline"))


class Batcher(Generic[Item, Result]):
    """Runs items in batches on worker threads.

    run: gets the items of one batch and returns as many results, in order; called in `workers` threads at a time.
    max_delay: seconds an item may wait for company. queue_size: most items that wait for a worker.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        workers: int = 1,
        max_batch: int = 1,
        max_delay: float = 0.0,
        queue_size: int = 64,
    ) -> None:
        self._run = run
        self._workers, self._max_batch, self._max_delay, self._queue_size = workers, max_batch, max_delay, queue_size
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
        self._groups: dict[Hashable, OrderedDict[_Ticket[Item, Result], None]] = {}
        self._running: set[Outcomes[Result]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        """Number of items that wait for a worker."""
        return sum(len(tickets) for tickets in self._groups.values())

    async def submit(self, item: Item, *, deadline: float, group: Hashable = None) -> Answer[Result]:
        """Return the item's result; `deadline` is in the event loop's time.

        Raises QueueFull, Closed, DeadlineExceeded, or what `run` raised on this item. Cancelling withdraws the item.
        """
        if self._closing:
            raise Closed("no more items are accepted")
        if self.waiting >= self._queue_size:
            raise QueueFull(f"{self._queue_size} items are waiting already")
        loop = asyncio.get_running_loop()
        ticket = _Ticket[Item, Result](item, loop.create_future(), loop.time(), deadline)
        expiry = loop.call_at(deadline, ticket.expire)
        self._groups.setdefault(group, OrderedDict())[ticket] = None
        self._dispatch()
        try:
            return await ticket.future
        finally:
            expiry.cancel()
            self._withdraw(ticket, group)

    async def close(self) -> None:
        """Refuse new items, answer the accepted ones, end the threads."""
        self._closing = True
        self._dispatch()
        while self._running:  # a finished batch starts the next before this wakes
            await asyncio.wait(self._running)
        self._pool.shutdown(wait=False)

    def _dispatch(self) -> None:
        """Give idle workers the batches that are due and set the timer for the next one."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._groups and len(self._running) < self._workers:
            due, _, group = min((self._due(group), i, group) for i, group in enumerate(self._groups))
            if due > loop.time():
                self._timer = loop.call_at(due, self._dispatch)
                return
            self._start(self._take(group))

    def _due(self, group: Hashable) -> float:
        """Time from which the group's next batch may run; a full batch is due since its first item came."""
        tickets = self._groups[group]
        full = self._closing or len(tickets) >= self._max_batch
        return next(iter(tickets)).arrived + (0.0 if full else self._max_delay)

    def _take(self, group: Hashable) -> list[_Ticket[Item, Result]]:
        """Remove up to `max_batch` items from the group, leaving out those that nobody waits for any more."""
        now = asyncio.get_running_loop().time()
        tickets = self._groups[group]
        batch: list[_Ticket[Item, Result]] = []
        while tickets and len(batch) < self._max_batch:
            ticket, _ = tickets.popitem(last=False)
            if now >= ticket.deadline:
                ticket.expire()
            if not ticket.future.done():
                batch.append(ticket)
        if not tickets:
            del self._groups[group]
        return batch

    def _start(self, batch: list[_Ticket[Item, Result]]) -> None:
        if not batch:
            return
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._attempt, [ticket.item for ticket in batch])
        self._running.add(future)
        future.add_done_callback(partial(self._settle, batch, loop.time()))

    def _attempt(self, items: Sequence[Item]) -> list[Result | Exception]:
        """Run a batch; when it fails run its items singly, so that one harms only itself."""
        try:
            results = list(self._run(items))
            if len(results) != len(items):
                raise RuntimeError(f"expected {len(items)} results of a batch; got {len(results)}")
            return [*results]
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [outcome for item in items for outcome in self._attempt([item])]

    def _settle(self, batch: list[_Ticket[Item, Result]], started: float, done: Outcomes[Result]) -> None:
        """Tell every item of a finished batch its outcome."""
        self._running.remove(done)
        ran = asyncio.get_running_loop().time() - started
        for ticket, outcome in zip(batch, done.result(), strict=True):
            if ticket.future.done():
                continue
            if isinstance(outcome, Exception):
                ticket.future.set_exception(outcome)
            else:
                ticket.future.set_result(Answer(outcome, started - ticket.arrived, ran, len(batch)))
        self._dispatch()

    def _withdraw(self, ticket: _Ticket[Item, Result], group: Hashable) -> None:
        tickets = self._groups.get(group, OrderedDict())
        tickets.pop(ticket, None)
        if not tickets:
            self._groups.pop(group, None)
