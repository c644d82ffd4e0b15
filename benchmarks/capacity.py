"""Compute what a load takes: replicas, cores or GPUs, memory, network and money.

    python -m benchmarks.capacity --core-hour 0.04 --gigabyte 0.05
    python -m benchmarks.capacity --gpu-images-per-second 1500 --gpu-hour 2.5 --core-hour 0.04
    python -m benchmarks.capacity --verify --repository models --model yolov5n

The first forms read the costs of one request from benchmarks/results/capacity_costs.csv. Prices, and the speed of a
GPU, are yours. `--verify` measures the costs on this machine, at one request at a time. From them it predicts the
throughput of one and of two loaded replicas, pinned to a core each, and compares. It writes capacity_costs.csv and
capacity_verified.csv.
"""

from __future__ import annotations

import asyncio
import csv
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

import psutil
import tyro
from pydantic import TypeAdapter

from benchmarks.ceiling import SAMPLE, SIZES, cpu_seconds, cpu_time, jpeg, raw_request
from benchmarks.cpu import describe_cpu
from benchmarks.open_loop import Load
from benchmarks.running_server import serving
from model_zoo.contract.pipeline import read_input
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions
from service.inference.bundled import BUNDLED_REPOSITORY

RESULTS: Final = Path(__file__).resolve().parent / "results"
CONNECTIONS: Final = 4  # of a loaded replica
GIGA: Final = 1e9


@dataclass(frozen=True)
class Costs:
    """Costs of one request."""

    request: str
    """Name of the request."""
    decode_ms: float
    """CPU time of decoding and letterboxing."""
    loop_ms: float
    """CPU time of the event loop, of which a process has one: HTTP, queues, answer."""
    inference_ms: float
    """CPU time of everything else: inference on one thread, and the threads around it."""
    request_bytes: int
    """Bytes of the request."""
    answer_bytes: int
    """Bytes of the answer."""
    memory_mb: int
    """Memory of a replica."""

    @property
    def cpu_ms(self) -> float:
        """CPU time of a request without a GPU."""
        return self.decode_ms + self.loop_ms + self.inference_ms


@dataclass(frozen=True)
class Options:
    """Assumptions of a plan."""

    cores: int = 8
    """Cores of a replica without a GPU."""
    utilization: float = 0.7
    """Share of the capacity that the mean load takes, so that peaks are answered in time."""
    gpu_images_per_second: float | None = None
    """Images per second of one GPU, as you measured it with your model. Without it, there are no GPUs."""
    core_hour: float | None = None
    """Price of a core for an hour."""
    gpu_hour: float | None = None
    """Price of a GPU for an hour."""
    gigabyte: float = 0.0
    """Price of a gigabyte of answers that leaves the network. Requests are free in most networks."""


@dataclass(frozen=True)
class Plan:
    """Resources that a load takes."""

    load: str
    """Name of the load."""
    replicas: int
    """Server processes."""
    cores: int
    """CPU cores."""
    gpus: int
    """GPUs."""
    memory_gb: float
    """Memory of all replicas."""
    gbit_in: float
    """Gbit/s of requests."""
    gbit_out: float
    """Gbit/s of answers."""
    per_million: float | None
    """Price of a million images, or None without a price."""


def plan(name: str, rate: float, costs: Costs, options: Options) -> Plan:
    """Compute what a mean rate of requests per second takes.

    A replica has its own cores, and its event loop bounds it as well. With GPUs, the cores decode and serve, and
    replicas are processes that feed them.
    """
    busy = rate / options.utilization
    gpus = math.ceil(busy / options.gpu_images_per_second) if options.gpu_images_per_second else 0
    milliseconds = costs.cpu_ms - (costs.inference_ms if gpus else 0)
    by_loop = busy * costs.loop_ms / 1000
    if gpus:
        replicas = max(math.ceil(by_loop), gpus)
        cores = math.ceil(busy * milliseconds / 1000)
    else:
        replicas = math.ceil(max(by_loop, busy * milliseconds / 1000 / options.cores))
        cores = replicas * options.cores
    hours = 1e6 / rate / 3600
    price = None
    if options.core_hour is not None and (not gpus or options.gpu_hour is not None):
        machines = cores * options.core_hour + gpus * (options.gpu_hour or 0)
        price = hours * machines + 1e6 * costs.answer_bytes / GIGA * options.gigabyte
    return Plan(
        name,
        replicas,
        cores,
        gpus,
        replicas * costs.memory_mb / 1000,
        rate * costs.request_bytes * 8 / GIGA,
        rate * costs.answer_bytes * 8 / GIGA,
        price,
    )


def table(plans: Iterable[Plan]) -> list[str]:
    """Return plans as the lines of a Markdown table, without columns that have no values."""
    rows = [asdict(one) for one in plans]
    heads = {
        "load": "load",
        "replicas": "replicas",
        "cores": "cores",
        "gpus": "GPUs",
        "memory_gb": "memory, GB",
        "gbit_in": "in, Gbit/s",
        "gbit_out": "out, Gbit/s",
        "per_million": "a million images",
    }
    used = [name for name in heads if any(row[name] for row in rows)]
    lines = [[_format(row[name]) for name in used] for row in rows]
    return [f"| {' | '.join(line)} |" for line in [[heads[name] for name in used], ["---"] * len(used), *lines]]


def _format(value: float | str | None) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    return "-" if value is None else value if isinstance(value, str) else f"{value:,}"


def read_costs(path: Path, request: str) -> Costs:
    """Return the costs of a request from a file. End the program if it has none of that name."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["request"]: row for row in csv.DictReader(file)}
    if request not in rows:
        raise SystemExit(f"{path}: expected a request of {', '.join(rows)}; got {request!r}")
    return TypeAdapter(Costs).validate_python(rows[request])


def main(
    options: tyro.conf.OmitArgPrefixes[Options] = Options(),
    request: str = "640x480",
    rates: tuple[float, ...] = (1_000, 1_000_000),
    images: float = 1e9,
    hours: float = 24,
    costs: Path = RESULTS / "capacity_costs.csv",
    verify: bool = False,
    repository: Path = BUNDLED_REPOSITORY.root,
    model: str = "ui-elements",
    image: Path = SAMPLE,
    rounds: int = 3,
    seconds: float = 3.0,
) -> None:
    """Print a plan per load, or verify the model.

    Args:
        options: Assumptions of the plans.
        request: Size of the images, a row of the costs.
        rates: Mean requests per second.
        images: Images of a job.
        hours: Hours that the job may take.
        costs: File with the costs of a request.
        verify: Measure the costs here, and compare predictions with two replicas.
        repository: Folder of model packages, to measure.
        model: Name of the model in it.
        image: Image to resize and send.
        rounds: Rounds of measurements.
        seconds: Seconds of each.
    """
    if verify:
        measure(repository, model, jpeg(image, SIZES[request]), request, rounds, seconds)
        return
    if not 0 < options.utilization <= 1:
        raise SystemExit(f"--utilization: expected a number in (0, 1]; got {options.utilization}")
    speed = options.gpu_images_per_second
    if min(*rates, images, hours, options.cores, 1 if speed is None else speed) <= 0:
        raise SystemExit("expected positive rates, images, hours, cores and images per second of a GPU")
    found = read_costs(costs, request)
    plans = [plan(f"{rate:,.0f} requests/s", rate, found, options) for rate in rates]
    job = f"{images:,.0f} images in {hours:g} h"
    plans.append(plan(job, images / hours / 3600, found, options))
    print(*table(plans), sep="\n")


@dataclass(frozen=True)
class Sample:
    """Figures of a server over some seconds."""

    rate: float
    """Requests per second."""
    cpu_ms: float
    """CPU milliseconds of the servers per request."""
    loop_ms: float
    """Milliseconds of the event loops per request."""
    generator_ms: float
    """CPU milliseconds of this process per request."""


def drive(servers: Sequence[tuple[int, int]], request: bytes, seconds: float, connections: int) -> Sample:
    """Load servers, given as port and process, with as many connections each."""
    loads = [Load(port, request, connections) for port, _ in servers]

    def used() -> tuple[float, float, float, float]:
        pids = [process for _, process in servers]
        return (
            time.monotonic(),
            sum(map(cpu_seconds, pids)),
            sum(cpu_seconds(process, process) for process in pids),
            time.process_time(),
        )

    async def run() -> None:
        await asyncio.gather(*(load.run_closed(seconds) for load in loads))

    before = used()
    asyncio.run(run())
    wall, *spent = (late - early for early, late in zip(before, used(), strict=True))
    answers = [answer for load in loads for answer in load.answers]
    if wrong := {answer.status for answer in answers} - {200}:
        raise SystemExit(f"expected 200 for all requests; got also {sorted(wrong)}")
    return Sample(len(answers) / wall, *(1000 * one / len(answers) for one in spent))


def predict(replicas: int, cpu_ms: float, generator_ms: float, cores: int) -> float:
    """Return the requests per second of replicas with a core each. If none is left, the generator uses theirs."""
    return replicas * 1000 / (cpu_ms + (generator_ms if replicas >= cores else 0))


def measure(repository: Path, model: str, file: bytes, name: str, rounds: int, seconds: float) -> None:
    """Measure costs, predictions and throughput in turns, and write them.

    A replica has one core. It is measured with one request at a time, and then loaded, alone and beside a second one.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("--verify: expected two cores, one for each replica; got one")
    request = raw_request(model, file)
    idle: list[Sample] = []
    loaded: dict[int, list[Sample]] = {1: [], 2: []}
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(_command(repository, core))) for core in cores[:2]]
        for number in range(rounds + 1):
            alone = drive(servers[:1], request, seconds, 1)
            samples = {count: drive(servers[:count], request, seconds, CONNECTIONS) for count in loaded}
            if number:  # the first round warms up
                idle.append(alone)
                for count, sample in samples.items():
                    loaded[count].append(sample)
        answer = answer_bytes(servers[0][0], model, file)
        memory = psutil.Process(servers[0][1]).memory_full_info().pss
    cpu, loop = (statistics.median(getattr(one, field) for one in idle) for field in ("cpu_ms", "loop_ms"))
    decode = 1000 * decode_seconds(repository, model, file)
    write_costs(Costs(name, decode, loop, cpu - decode - loop, len(request), answer, round(memory / 1e6)), model)
    write_verified(name, idle, loaded, len(cores))


def _command(repository: Path, core: int) -> list[str]:
    serve = [sys.executable, "-m", "lineage", "serve", f"--repository={repository.resolve()}", "--port=0"]
    return ["taskset", "--cpu-list", str(core), *serve]


def decode_seconds(repository: Path, model: str, file: bytes) -> float:
    """Return the CPU seconds of decoding onto the canvas that the server chooses."""
    card = Repository(repository).resolve(model).card
    canvases = EngineOptions().canvases(card)
    return cpu_time(lambda: read_input(card, file, canvases), 50)


def answer_bytes(port: int, model: str, file: bytes) -> int:
    """Return the bytes of an answer."""
    request = Request(f"http://127.0.0.1:{port}/detect?model={model}", file, {"Content-Type": "image/jpeg"})
    with urlopen(request) as response:
        return len(str(response.headers)) + len(response.read())


def write_costs(costs: Costs, model: str) -> None:
    """Write the costs of a request, and keep those of others."""
    row = {name: f"{value:.2f}" if isinstance(value, float) else str(value) for name, value in asdict(costs).items()}
    _replace(RESULTS / "capacity_costs.csv", [row | {"model": model, "cpu": describe_cpu()}])


def write_verified(name: str, idle: Sequence[Sample], loaded: Mapping[int, Sequence[Sample]], cores: int) -> None:
    """Write predicted and measured throughput, and print them."""
    rows = []
    for replicas, samples in loaded.items():
        predicted = [predict(replicas, one.cpu_ms, one.generator_ms, cores) for one in idle]
        ratio = statistics.median(p / sample.rate for p, sample in zip(predicted, samples, strict=True))
        row = {"request": name, "replicas": str(replicas)}
        row["predicted_per_second"] = f"{statistics.median(predicted):.1f}"
        row["measured_per_second"] = f"{statistics.median(sample.rate for sample in samples):.1f}"
        rows.append(row | {"predicted_to_measured": f"{ratio:.3f}", "cpu": describe_cpu()})
    _replace(RESULTS / "capacity_verified.csv", rows)


def _replace(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows of one request and write them to a file, which keeps those of others."""
    others: list[dict[str, str]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            others = [row for row in csv.DictReader(file) if row["request"] != rows[0]["request"]]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*others, *rows])
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    tyro.cli(main)
