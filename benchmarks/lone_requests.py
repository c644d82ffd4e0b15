"""Compare the threads of an inference with those of another checkout and with one thread, on idle and busy cores.

    python -m benchmarks.lone_requests --repository models --model yolov5n --before CHECKOUT

Both checkouts must be able to read the package. Each engine has its own process. One thread runs inferences while
nothing, one core or every core is busy. Then 2, 4 and 8 threads do. Writes benchmarks/results/lone_requests.csv.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tyro

from benchmarks.busy_cores import busy_cores
from benchmarks.cpu import describe_cpu

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "lone_requests.csv"
FIELDS: Final = ("busy_cores", "connections", "engine", "p50_ms", "mean_ms", "images_per_second", "cpu_ms", "cpu")
WORKER: Final = """
import json, sys, threading, time
from pathlib import Path
from statistics import mean, median
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions, blank_feeds
from model_zoo.runtime.open import open_engine
package = Repository(Path(sys.argv[1])).resolve(sys.argv[2])
engine = open_engine(package, EngineOptions(provider="cpu", shapes="square", threads=int(sys.argv[3]) or None))
engine.warm_up()
feeds, turn = blank_feeds(engine.card.input_size, 1), threading.Semaphore(engine.workers)
for line in sys.stdin:
    connections, seconds = map(float, line.split())
    times, start, cpu = [], time.perf_counter(), time.process_time()
    def connection():
        while (begin := time.perf_counter()) < start + seconds:
            with turn:
                engine.run(feeds)
            times.append(time.perf_counter() - begin)
    threads = [threading.Thread(target=connection) for _ in range(int(connections))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    rate = len(times) / (time.perf_counter() - start)
    cpu = 1e3 * (time.process_time() - cpu) / len(times)
    print(json.dumps([1e3 * median(times), 1e3 * mean(times), rate, cpu]), flush=True)
"""


def main(repository: Path, model: str, before: Path, rounds: int = 3, seconds: float = 3.0) -> None:
    """Measure in alternating rounds, and write the medians.

    Args:
        repository: Folder of the repository.
        model: Name in the repository.
        before: Checkout to compare with.
        rounds: Number of rounds.
        seconds: Seconds of a phase.
    """
    package = [str(repository.resolve()), model]
    engines = {
        "before": start(before.resolve(), *package, "0"),
        "now": start(ROOT, *package, "0"),
        "one thread": start(ROOT, *package, "1"),
    }
    rows = []
    for busy, connections in ((0, 1), (os.cpu_count() or 1, 1), (1, 1), (0, 2), (0, 4), (0, 8)):
        with busy_cores(busy):
            found = compare(engines, connections, rounds, seconds)
        rows += [[busy, connections, name, *values, describe_cpu()] for name, values in found.items()]
        print(*rows[-len(engines) :], sep="\n", flush=True)
    for process in engines.values():
        process.communicate()
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([FIELDS, *rows])


def start(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a process with an engine of a checkout."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=checkout,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def compare(
    engines: Mapping[str, subprocess.Popen[str]], connections: int, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return the medians of each engine over alternating rounds."""
    found: dict[str, list[list[float]]] = {name: [] for name in engines}
    for number in range(rounds):
        for name in list(engines)[:: -1 if number % 2 else 1]:
            process = engines[name]
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{connections} {seconds}\n")
            process.stdin.flush()
            found[name].append(json.loads(process.stdout.readline()))
    return {
        name: [round(statistics.median(each), 2) for each in zip(*runs, strict=True)] for name, runs in found.items()
    }


if __name__ == "__main__":
    tyro.cli(main)
