"""Bounded dynamic batching with deadlines.

    batcher = Batcher(run, workers=1, max_batch=8, max_delay=0.002, queue_size=64)
    result = await batcher.submit(item, RequestContext(loop.time() + 5), group=(640, 640))
    await batcher.close()  # finishes accepted items

Items of one group may run in one batch. A batch starts when a worker is idle and the batch is full, or its oldest item
has waited `max_delay`. While few items arrive together, it starts at once (see `batch_wait`). Waiting clients take
turns (see `fair_queue`). Nothing polls: arrivals, finished batches and one timer drive the batcher. All state belongs
to the event loop; only `run` is called in worker threads.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from service.inference.batch_wait import BatchWait
from service.inference.errors import DeadlineExceeded, QueueFull, ShuttingDown
from service.inference.estimate import Estimate
from service.inference.fair_queue import FairQueue, flow_of
from service.inference.request import RequestContext
from service.inference.worker_threads import WorkerThreads

Item = TypeVar("Item")
Result = TypeVar("Result")
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class BatchResult(Generic[Result]):
    """The result of one item, with the timing of its batch."""

    value: Result
    """Result that `run` returned for the item."""
    queue_seconds: float
    """Seconds from arrival to the start of the batch."""
    run_seconds: float
    """Seconds the batch took."""
    batch_size: int
    """Number of items in the batch."""
    batch: int = field(default=0, compare=False)
    """Number of the batch, unique in this process."""
    position: int = field(default=0, compare=False)
    """Index of the item in the batch."""


@dataclass(frozen=True)
class BatchingOptions:
    """Limits on waiting for a batch."""

    max_delay: float = 0.002
    """Max seconds an item waits for its batch to fill."""
    queue_size: int = 64
    """Max number of items that wait for a worker."""


@dataclass(eq=False)
class _Ticket(Generic[Item, Result]):
    item: Item
    group: Hashable
    future: asyncio.Future[BatchResult[Result]]
    arrived: float
    deadline: float

    def expire(self) -> None:
        if not self.future.done():
            self.future.set_exception(DeadlineExceeded("no answer before the deadline of the request"))


class Batcher(Generic[Item, Result]):
    """Runs items in batches on worker threads.

    `run` receives the items of one batch and returns as many results in the same order. Up to `workers` threads call
    it at a time. A full queue raises `queue_full`; `stage` names the queue in the message.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        workers: int = 1,
        max_batch: int = 1,
        max_delay: float = 0.0,
        queue_size: int = 64,
        stage: str = "a worker",
        queue_full: type[QueueFull] = QueueFull,
    ) -> None:
        self._run = run
        self._workers, self._max_batch = workers, max_batch
        self._stage, self._queue_full = stage, queue_full
        self._threads = WorkerThreads(workers, "batch")
        self._queue: FairQueue[_Ticket[Item, Result]] = FairQueue(queue_size)
        self._running = 0
        self._finished = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._run_seconds = Estimate()
        self._waits: defaultdict[Hashable, BatchWait] = defaultdict(partial(BatchWait, max_batch, max_delay))

    @property
    def waiting(self) -> int:
        """Number of items that wait for a worker."""
        return len(self._queue)

    def check(self, context: RequestContext, share: Hashable = None) -> None:
        """Check that an item would not be refused now, before it is made.

        Raises:
            QueueFull: as `submit`.
        """
        if self._queue.is_full_for(flow_of(context, share)):
            raise self._full()

    async def submit(
        self, item: Item, context: RequestContext, *, group: Hashable = None, share: Hashable = None
    ) -> BatchResult[Result]:
        """Return the item's result. Canceling withdraws the item.

        Clients take turns, and so do the `share`s of a batcher that serves several users. An exception that `run`
        raises for this item is raised here.

        Raises:
            QueueFull: the queue is at its limit, and no other client has more items in it.
            DeadlineExceeded: there was no result in time.
            ShuttingDown: the batcher is closed.
        """
        if self._closing:
            raise ShuttingDown("the server is shutting down; try again later")
        loop = asyncio.get_running_loop()
        ticket = _Ticket[Item, Result](item, group, loop.create_future(), loop.time(), context.deadline)
        if refused := self._queue.add(ticket, flow_of(context, share), group):
            self._refuse(refused)
        if self._max_batch > 1:
            self._waits[group].arrived(ticket.arrived)
        expiry = loop.call_at(context.deadline, ticket.expire)
        self._dispatch()
        try:
            return await ticket.future
        finally:
            expiry.cancel()
            self._queue.remove(ticket, group)

    async def close(self) -> None:
        """Refuse new items, finish the accepted ones, end the threads."""
        self._closing = True
        self._dispatch()
        while self._running:  # a finished batch starts the next one before this wakes up
            self._finished.clear()
            await self._finished.wait()
        self._threads.end()

    def _dispatch(self) -> None:
        """Start the batches that are due on idle workers, and set the timer for the next one."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._queue and self._running < self._workers:
            due = {group: self._due(group) for group in self._queue.groups}
            ready = [group for group, when in due.items() if when <= loop.time()]
            if not ready:
                self._timer = loop.call_at(min(due.values()), self._dispatch)
                return
            self._start(self._pop_batch(min(ready, key=self._queue.first)))

    def _due(self, group: Hashable) -> float:
        """Return the time from which the group's next batch may run: a full batch at once, others after the wait."""
        full = self._closing or self._queue.count(group) >= self._max_batch
        return self._queue.oldest(group).arrived + (0.0 if full else self._waits[group].delay)

    def _pop_batch(self, group: Hashable) -> list[_Ticket[Item, Result]]:
        """Remove up to `max_batch` items from the group, dropping cancelled ones and those that cannot finish in time.

        The last one runs as long as its deadline has not passed: an estimate never keeps a worker idle.
        """
        now = asyncio.get_running_loop().time()
        batch: list[_Ticket[Item, Result]] = []
        while self._queue.count(group) and len(batch) < self._max_batch:
            ticket = self._queue.pop(group)
            finished = now + (self._run_seconds.mean if self._queue else 0.0)
            if finished >= ticket.deadline:
                ticket.expire()
            if not ticket.future.done():
                batch.append(ticket)
        return batch

    def _start(self, batch: list[_Ticket[Item, Result]]) -> None:
        if not batch:
            return
        self._running += 1
        finish = partial(self._finish, batch, next(_NUMBERS), asyncio.get_running_loop().time())
        self._threads.submit(partial(self._attempt, [ticket.item for ticket in batch]), finish)

    def _attempt(self, items: Sequence[Item]) -> list[Result | Exception]:
        """Run a batch. If it fails, run its items one by one so that only the faulty ones fail."""
        try:
            results = list(self._run(items))
            if len(results) != len(items):
                raise RuntimeError(f"expected {len(items)} results of a batch; got {len(results)}")
            return [*results]
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [outcome for item in items for outcome in self._attempt([item])]

    def _finish(
        self, batch: list[_Ticket[Item, Result]], number: int, started: float, outcomes: list[Result | Exception]
    ) -> None:
        """Set the outcome of every item of a finished batch and start the next batch."""
        self._running -= 1
        run_seconds = asyncio.get_running_loop().time() - started
        self._run_seconds.add(run_seconds)
        for position, (ticket, outcome) in enumerate(zip(batch, outcomes, strict=True)):
            if ticket.future.done():
                continue
            if isinstance(outcome, Exception):
                ticket.future.set_exception(outcome)
            else:
                waited = started - ticket.arrived
                ticket.future.set_result(BatchResult(outcome, waited, run_seconds, len(batch), number, position))
        self._dispatch()
        self._finished.set()

    def _refuse(self, ticket: _Ticket[Item, Result]) -> None:
        if not ticket.future.done():
            ticket.future.set_exception(self._full())

    def _full(self) -> QueueFull:
        return self._queue_full(f"{self._queue.size} images are already waiting for {self._stage}; try again later")
