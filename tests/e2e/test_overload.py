"""Three times the capacity, and two clients, against a server with a slow engine. benchmarks/overload.py is longer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from benchmarks.overload import Bench, overload, two_clients
from benchmarks.running_server import serving
from model_zoo.contract.repository import Repository
from tests.repositories import Publish, publish, repository
from tests.service.app_client import png
from tests.service.conftest import flat

__all__ = ["publish", "repository"]

SECONDS_PER_IMAGE, WORKERS = 0.1, 2


@pytest.fixture
def bench(repository: Repository, publish: Publish) -> Iterator[Bench]:
    """A server that answers at most 20 images per second. Requests have 1.2 s."""
    publish()
    command = ["-m", "tests.e2e.slow_server", str(repository.root), str(SECONDS_PER_IMAGE), str(WORKERS)]
    with serving([sys.executable, *command]) as (port, _):
        ready = Bench(port, "/detect", png(flat(1)), 3.0, capacity=WORKERS / SECONDS_PER_IMAGE, normal_p99=0.6)
        asyncio.run(ready.load(4, deadline=False).run_closed(0.5))
        yield ready


def test_overload_is_refused_at_once_and_capacity_is_used(bench: Bench) -> None:
    measured = {row.measure: row.value for row in asyncio.run(overload(bench, 64))}
    assert measured["goodput of capacity %"] > 50
    assert measured["accepted within deadline %"] > 70
    assert measured["refusal median ms"] < 250
    assert measured["other answers"] == 0
    assert measured["seconds to normal"] < 10


@pytest.mark.slow
def test_client_keeps_its_answers_beside_one_that_sends_ten_times_as_much(bench: Bench) -> None:
    measured = {row.measure: row.value for row in asyncio.run(two_clients(bench))}
    assert measured["answers to the small one %"] > 50  # about 30 without taking turns
    assert measured["answers to the large one %"] < 60
    assert measured["goodput of capacity %"] > 50
