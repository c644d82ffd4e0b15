"""Measure `lineage serve` at three times its capacity: goodput, latency, refusals, recovery, and fairness.

    python -m benchmarks.overload --repository models --model yolov5n --image photo.jpg
    python -m benchmarks.overload --image screenshot.png --seconds 5 --connections 64   # the bundled model, short

The speed of a shared machine varies by a quarter within minutes. So overload comes in slices of some seconds, with the
capacity measured before and after each. Goodput is the median of the slices, each as a share of its own capacity. The
latency at 80 % load is measured before each scenario. The deadline at overload is twice its 99th percentile, sent as
X-Request-Timeout.

Two clients, then two models, share the server with one of them far beyond its share.
Writes benchmarks/results/overload.csv and overload.png. The generator uses the same cores as the server.
"""

from __future__ import annotations

import asyncio
import csv
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.open_loop import UNSENT, Answer, Load, quantile, request_bytes, share
from benchmarks.running_server import serving

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "overload.csv"
FACTOR: Final = 3.0
OVERLOAD: Final = "3x overload"
SMALL, LARGE = 0.25, 2.5  # of the capacity: one tenth
SLICE: Final = 10.0  # seconds of overload between two measurements of the capacity
RAMP: Final = 0.1  # share of a slice in which queues fill


@dataclass(frozen=True)
class Row:
    """One measure of one scenario."""

    scenario: str
    """Name of the scenario."""
    connections: int
    """Connections of the generator."""
    measure: str
    """Name of the measure, with its unit."""
    value: float
    """Measured value."""


@dataclass(frozen=True)
class Bench:
    """A running server, and what was measured on it without overload."""

    port: int
    """Port of the server."""
    path: str
    """Path and query of the requests."""
    body: bytes
    """Image to send."""
    seconds: float
    """Seconds of each phase."""
    capacity: float = 0.0
    """Images per second in a closed loop."""
    normal_p99: float = 0.0
    """99th percentile of the seconds at 80 % load."""

    @property
    def deadline(self) -> float:
        """Seconds within which a request has to be answered at overload."""
        return 2 * self.normal_p99

    @property
    def slices(self) -> int:
        """Number of slices of a phase."""
        return max(1, round(self.seconds / SLICE))

    def load(self, connections: int, *, deadline: bool = True, path: str = "", address: str = "127.0.0.1") -> Load:
        """Return a load of one client."""
        request = request_bytes(path or self.path, self.body, self.deadline if deadline else None)
        return Load(self.port, request, connections, address)


def main(
    image: Path,
    repository: Path | None = None,
    model: str = "ui-elements",
    light_model: str | None = None,
    connections: tuple[int, ...] = (32, 128, 1024),
    seconds: float = 60.0,
    output: Path = RESULTS,
) -> None:
    """Measure and write the results.

    Args:
        image: Image to send.
        repository: Folder of model packages. Default: the bundled model.
        model: Name of the model.
        light_model: Another model in the repository, measured beside the overloaded one.
        connections: Numbers of connections.
        seconds: Seconds of each overload. The latency at 80 % load takes half of it.
        output: CSV file to write.
    """
    command = [sys.executable, "-m", "lineage", "serve", "--port=0"]
    command += [f"--repository={repository.resolve()}"] if repository else []
    with serving(command) as (port, _):
        bench = Bench(port, f"/detect?model={model}", image.read_bytes(), seconds)
        asyncio.run(measure_capacity(bench))  # warms up
        rows: list[Row] = []
        for number in connections:
            rows += asyncio.run(overload(asyncio.run(calibrate(bench)), number))
        rows += asyncio.run(two_clients(asyncio.run(calibrate(bench))))
        if light_model:
            rows += asyncio.run(two_models(asyncio.run(calibrate(bench)), f"/detect?model={light_model}"))
    write(rows, output, model)
    draw(rows, output.with_suffix(".png"), f"{model}, {describe_cpu()}")


async def measure_capacity(bench: Bench) -> float:
    """Return the images per second of a closed loop."""
    seconds = bench.seconds / bench.slices / 3
    answers = await bench.load(8, deadline=False).run_closed(seconds)
    assert share(answers, 200) == 1, {answer.status for answer in answers}
    return len(answers) / seconds


async def calibrate(bench: Bench) -> Bench:
    """Measure the capacity and the latency at 80 % load."""
    capacity = await measure_capacity(bench)
    normal = await bench.load(32, deadline=False).run(0.8 * capacity, bench.seconds / 2)
    return replace(bench, capacity=capacity, normal_p99=quantile(normal, 0.99))


async def overload(bench: Bench, connections: int) -> list[Row]:
    """Send three times the capacity, in slices."""
    capacities, shares, recoveries = [bench.capacity], list[float](), list[float]()
    answers: list[Answer] = []
    seconds = bench.seconds / bench.slices
    for _ in range(bench.slices):
        load = bench.load(connections)
        answers += await load.run(FACTOR * capacities[-1], seconds)
        recoveries.append(await recover(bench))
        capacities.append(await measure_capacity(bench))
        shares.append(_goodput(load, seconds) / statistics.mean(capacities[-2:]))
    expired = [answer for answer in answers if answer.status == 504]
    good = [answer for answer in answers if answer.status == 200]
    measures = {
        "capacity, images per second": statistics.median(capacities),
        "p99 at 80 % load, ms": 1000 * bench.normal_p99,
        "goodput of capacity %": 100 * statistics.median(shares),
        "lowest slice %": 100 * min(shares),
        "highest slice %": 100 * max(shares),
        "accepted p99 ms": 1000 * quantile(answers, 0.99),
        "accepted p99 of p99 at 80 %": quantile(answers, 0.99) / bench.normal_p99,
        "accepted within deadline %": 100 * len(good) / max(len(good) + len(expired), 1),
        "refusal median ms": 1000 * quantile(answers, 0.5, 503),
        "refusal p99 ms": 1000 * quantile(answers, 0.99, 503),
        "not sent, all connections in use %": 100 * share(answers, UNSENT),
        "other answers": sum(answer.status not in (200, 503, 504, UNSENT) for answer in answers),
        "seconds to normal": max(recoveries),
    }
    return [Row(OVERLOAD, connections, name, value) for name, value in measures.items()]


def _goodput(load: Load, seconds: float) -> float:
    """Return the images per second that were answered in a slice, after the queues have filled."""
    begin, end = load.started + RAMP * seconds, load.started + seconds
    return sum(answer.status == 200 and begin <= answer.finished < end for answer in load.answers) / (end - begin)


async def recover(bench: Bench) -> float:
    """Send one request after another until one is as fast as at 80 % load, and return the seconds that took."""
    loop = asyncio.get_running_loop()
    begin, single = loop.time(), bench.load(1, deadline=False)
    await single.open()
    while not single.answers or single.answers[-1].seconds > bench.normal_p99 or single.answers[-1].status != 200:
        await single._request_at(loop.time())
    single.close()
    return loop.time() - begin


async def two_clients(bench: Bench) -> list[Row]:
    """Send ten times as much from one address as from another."""
    return await run_together(bench, "two clients, 1:10", bench.path, SMALL, LARGE)


async def two_models(bench: Bench, path: str) -> list[Row]:
    """Overload one model, and send a tenth of its capacity to another."""
    return await run_together(bench, "light model beside an overloaded one", path, 0.1, FACTOR)


async def run_together(bench: Bench, scenario: str, path: str, small_rate: float, large_rate: float) -> list[Row]:
    """Run two loads at the same time, in slices. Rates are shares of the capacity before each slice."""
    small, large, shares = list[Answer](), list[Answer](), list[float]()
    capacity, seconds = bench.capacity, bench.seconds / bench.slices
    for _ in range(bench.slices):
        loads = bench.load(32, path=path, address="127.0.0.2"), bench.load(256)
        rates = (small_rate * capacity, large_rate * capacity)
        await asyncio.gather(*(load.run(rate, seconds) for load, rate in zip(loads, rates, strict=True)))
        after = await measure_capacity(bench)
        shares.append(sum(_goodput(load, seconds) for load in loads) / statistics.mean((capacity, after)))
        small, large, capacity = [*small, *loads[0].answers], [*large, *loads[1].answers], after
    measures = {
        "answers to the small one %": 100 * share(small, 200),
        "small p99 ms": 1000 * quantile(small, 0.99),
        "answers to the large one %": 100 * share(large, 200),
        "expired of the large one %": 100 * share(large, 504),
        "goodput of capacity %": 100 * statistics.median(shares),
    }
    return [Row(scenario, 288, name, value) for name, value in measures.items()]


def write(rows: Sequence[Row], output: Path, model: str) -> None:
    """Print the rows and write them as CSV."""
    cpu = describe_cpu()
    with output.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("model", "cpu", "scenario", "connections", "measure", "value"))
        for row in rows:
            print(f"{row.scenario:40} {row.connections:5} {row.measure:36} {row.value:10.2f}")
            table.writerow((model, cpu, row.scenario, row.connections, row.measure, f"{row.value:.3f}"))


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Plot goodput and latency over the number of connections."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    values = {(row.connections, row.measure): row.value for row in rows if row.scenario == OVERLOAD}
    connections = sorted({number for number, _ in values})
    labels = [f"{number:,}" for number in connections]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.bar(labels, [values[number, "goodput of capacity %"] for number in connections], width=0.5)
    left.axhline(95, color="black", linestyle=":")
    left.set(title="Goodput at 3x the capacity", xlabel="connections", ylabel="% of capacity")
    for measure in ("accepted p99 ms", "refusal median ms", "p99 at 80 % load, ms"):
        right.plot(labels, [values[number, measure] for number in connections], marker="o", label=measure)
    right.set(title="Latency", xlabel="connections", ylabel="ms", yscale="log")
    right.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    tyro.cli(main)
