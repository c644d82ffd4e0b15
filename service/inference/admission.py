"""Admission by expected wait: refuse at once what cannot be answered before its deadline.

The expected time of a request is the work ahead of it plus its own. Ahead are the unfinished images that the fair order
serves first: those of higher priority and of the same client. Other clients count with no more than this one has. Work
per image is measured, and so is the time that it does not explain. A free worker always admits, so a bad measurement
cannot last.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from service.inference.errors import DeadlineExceeded, WaitTooLong
from service.inference.estimate import Estimate
from service.inference.fair_queue import Flow, flow_of
from service.inference.request import RequestContext

# The work ahead may take longer than it was measured to: the speed of a shared machine varies within seconds.
MARGIN: Final = 1.1


@dataclass
class Slots:
    """The unfinished images of one request."""

    unfinished: Counter[Flow]
    """Unfinished images of all requests."""
    flow: Flow
    """The flow of this request."""
    images: int
    """Unfinished images of this request."""

    def release(self, images: int = 1) -> None:
        """Count images as finished."""
        self.images -= images
        self.unfinished[self.flow] -= images
        if not self.unfinished[self.flow]:
            del self.unfinished[self.flow]


class Admission:
    """Admits the requests of one model."""

    def __init__(self, workers: int = 1) -> None:
        """Admit without a check while fewer images than `workers` are unfinished."""
        self._workers = workers
        self._unfinished: Counter[Flow] = Counter()
        self._work, self._rest = Estimate(), Estimate()

    def record(self, work: float) -> None:
        """Record the work of a finished image, in seconds of the model's full capacity."""
        self._work.add(work)

    def check(self, images: int, context: RequestContext) -> None:
        """Check that a request is expected to be answered in time.

        Raises:
            WaitTooLong: it is not. `retry_after` is the excess.
        """
        if self._unfinished.total() < self._workers:
            return
        left = context.deadline - asyncio.get_running_loop().time()
        expected = MARGIN * self._work_before(images, context) + self._rest.bound
        if expected > left:
            times = f"{expected:.2f} s, exceeds the {max(left, 0.0):.2f} s left for the request"
            raise WaitTooLong(f"the expected time to answer, {times}; try again later", expected - left)

    @contextmanager
    def admit(self, images: int, context: RequestContext) -> Iterator[Slots]:
        """Check a request and hold its slots inside the block.

        Raises:
            WaitTooLong: it cannot be answered in time.
        """
        self.check(images, context)
        loop = asyncio.get_running_loop()
        explained = loop.time() + self._work_before(images, context)
        slots = Slots(self._unfinished, flow_of(context), images)
        self._unfinished[slots.flow] += images
        try:
            yield slots
            self._rest.add(loop.time() - explained)
        except DeadlineExceeded:
            self._rest.add(loop.time() - explained)
            raise
        finally:
            slots.release(slots.images)

    def _work_before(self, images: int, context: RequestContext) -> float:
        """Return the seconds of work that the last image of a new request waits for."""
        flow = flow_of(context)
        turns = self._unfinished[flow] + images
        ahead = sum(
            count if other.priority < flow.priority or other == flow else min(count, turns)
            for other, count in self._unfinished.items()
            if other.priority <= flow.priority
        )
        return (ahead + images - 1) * self._work.mean
