"""Waiting for batches, by simulation: two workers and a device on which a larger batch takes little longer."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import mean

import pytest

from service.inference.batch_wait import BatchWait

MAX_BATCH, MAX_DELAY = 8, 0.002


def feed(wait: BatchWait, *groups: int) -> list[float]:
    """Send groups of images, a second apart. Return the delay after each group."""
    delays = []
    for second, count in enumerate(groups):
        for n in range(count):
            wait.arrived(second + n * MAX_DELAY / MAX_BATCH)
        delays.append(wait.delay)
    return delays


def test_single_requests_stop_waiting_after_a_few() -> None:
    delays = feed(BatchWait(MAX_BATCH, MAX_DELAY), *[1] * 10)
    assert (delays[0], delays[-1]) == (MAX_DELAY, 0.0)


def test_groups_wait_again_when_they_are_large_enough() -> None:
    delays = feed(BatchWait(MAX_BATCH, MAX_DELAY), *[1] * 100, *[8] * 10, *[3] * 40)
    assert (delays[99], delays[101], delays[109], delays[-1]) == (0.0, 0.0, MAX_DELAY, 0.0)


@dataclass
class Simulation:
    """The rule of the batcher in simulated time. Latencies of the images are collected."""

    adapt: bool
    workers: int = 2
    now: float = 0.0
    latencies: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def run(self, arrivals: Iterator[float], clients: int = 0, images: int = 4000) -> Simulation:
        """Serve arrivals, or a number of clients that each send the next image once they have their answer."""
        wait, queue, busy = BatchWait(MAX_BATCH, MAX_DELAY), list[float](), 0
        events = [(0.0, "arrive", 1)] * clients or [(next(arrivals), "arrive", 1)]
        while len(self.latencies) < images:
            self.now, kind, count = heapq.heappop(events)
            if kind == "arrive":
                queue.append(self.now)
                wait.arrived(self.now)
                if not clients:
                    heapq.heappush(events, (next(arrivals), "arrive", 1))
            elif kind == "finish":
                busy -= 1
                for n in range(count if clients else 0):
                    heapq.heappush(events, (self.now + 1e-4 * (1 + n), "arrive", 1))
            delay = wait.delay if self.adapt else MAX_DELAY
            while queue and busy < self.workers:
                if len(queue) < MAX_BATCH and queue[0] + delay > self.now:
                    heapq.heappush(events, (queue[0] + delay, "timer", 0))
                    break
                batch, queue = queue[:MAX_BATCH], queue[MAX_BATCH:]
                busy += 1
                finish = self.now + 0.002 + 0.0002 * len(batch)
                heapq.heappush(events, (finish, "finish", len(batch)))
                self.latencies += [finish - arrived for arrived in batch]
                self.batches.append(len(batch))
        return self


def poisson(rate: float) -> Iterator[float]:
    draw, now = random.Random(0), 0.0
    while True:
        now += draw.expovariate(rate)
        yield now


@pytest.mark.parametrize("rate", [20, 200, 800])
def test_few_arrivals_are_answered_without_the_delay(rate: float) -> None:
    fixed, adapted = (Simulation(adapt).run(poisson(rate)) for adapt in (False, True))
    assert mean(adapted.latencies) < 0.7 * mean(fixed.latencies)


@pytest.mark.parametrize("rate", [2500, 4000])
def test_many_arrivals_still_form_batches(rate: float) -> None:
    """The rates are 60 and 95 % of what two workers do with full batches."""
    fixed, adapted = (Simulation(adapt).run(poisson(rate)) for adapt in (False, True))
    assert mean(adapted.batches) > 0.95 * mean(fixed.batches)
    assert mean(adapted.latencies) < 1.05 * mean(fixed.latencies)


@pytest.mark.parametrize(("clients", "ratio"), [(1, 0.6), (2, 0.7), (8, 1.02), (32, 1.02)])
def test_clients_that_wait_for_their_answers_are_served_as_fast_or_faster(clients: int, ratio: float) -> None:
    fixed, adapted = (Simulation(adapt).run(iter(()), clients) for adapt in (False, True))
    assert adapted.now < ratio * fixed.now
