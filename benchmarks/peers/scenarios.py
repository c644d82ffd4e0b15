"""Scenarios, and the row of figures of each scenario, server and round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

from benchmarks.busy_cores import busy_cores
from benchmarks.cpu import describe_cpu
from benchmarks.peers.load import Outcome, Plan, go_first, run
from benchmarks.peers.servers import Server
from benchmarks.peers.subjects import CORES

OPEN_LOOP: Final = "open"
LOAD: Final = 0.7
"""Arrivals of the open loop, as a share of the capacity of the best peer."""


@dataclass(frozen=True)
class Scenario:
    """A load."""

    name: str
    """Name in tables and for --scenarios."""
    size: str
    """Size of the images."""
    connections: int
    """Connections of a closed loop, 0 for an open loop."""
    neighbors: bool = False
    """Whether a process spins on each core."""
    longer: float = 1.0
    """Factor of the seconds."""


SCENARIOS: Final = (
    *(Scenario(f"{size} x{number}", size, number) for size in ("1280x720", "640x480") for number in (1, 8, 32)),
    Scenario("4000x3000 x8", "4000x3000", 8),
    Scenario("busy x1", "1280x720", 1, neighbors=True),
    Scenario(OPEN_LOOP, "1280x720", 0, longer=4),
)


@dataclass(frozen=True)
class Row:
    """Figures of one server in one scenario and round."""

    subject: str
    """Name of the server."""
    version: str
    """Version of its package."""
    scenario: str
    """Name of the scenario."""
    per_second: float
    """Answers per second."""
    p50_ms: float
    """Median latency."""
    p99_ms: float
    """99th percentile of the latency."""
    cpu_ms: float
    """CPU milliseconds of all processes of the server per answer."""
    rss_mb: float
    """Resident memory of all its processes."""
    pss_mb: float
    """The same with shared pages counted once."""
    answers: int
    """Answers with status 200."""
    failures: int
    """Other answers."""
    generator_cpu_ms: float
    """CPU milliseconds of the load generator per answer."""
    other_cores: float
    """Cores used by other processes: neighbors, or noise."""
    offered: float
    """Arrivals per second of the open loop."""
    cold_start_s: float
    """Seconds from the start of the process to the first answer, in the run of this row."""
    cpu: str
    """Name of the CPU."""


def measure(server: Server, requests: Sequence[bytes], scenario: Scenario, seconds: float, rate: float) -> Outcome:
    """Run a scenario from a process of its own."""
    plan = Plan(
        port=server.port,
        requests=tuple(requests),
        processes=tuple(process.pid for process in server.processes()),
        seconds=seconds * scenario.longer,
        warm_up=max(1.0, seconds / 5),
        connections=scenario.connections,
        rate=0 if scenario.connections else rate,
    )
    with (
        busy_cores(CORES if scenario.neighbors else 0),
        ProcessPoolExecutor(1, get_context("spawn"), go_first) as generator,
    ):
        return generator.submit(run, plan).result()


def make_row(server: Server, scenario: Scenario, outcome: Outcome, rate: float) -> Row:
    """Return the figures of an outcome."""
    rss, pss = server.memory_mb()
    return Row(
        subject=server.subject.name,
        version=server.version,
        scenario=scenario.name,
        per_second=outcome.per_second,
        p50_ms=outcome.quantile_ms(0.5),
        p99_ms=outcome.quantile_ms(0.99),
        cpu_ms=outcome.cpu_ms if outcome.finished else math.nan,
        rss_mb=rss,
        pss_mb=pss,
        answers=len(outcome.latencies),
        failures=outcome.failures,
        generator_cpu_ms=outcome.generator_cpu_ms,
        other_cores=outcome.other_cores,
        offered=0 if scenario.connections else rate,
        cold_start_s=server.cold_start,
        cpu=describe_cpu(),
    )
