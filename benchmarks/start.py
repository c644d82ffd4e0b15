"""Compare start and memory of the default server with those of another checkout, such as the state before a change.

    python -m benchmarks.start --before CHECKOUT

Rounds start both servers in turns, with the bundled model and compiled modules, as installed. CPU time and memory are
read once the server is ready, and memory again after some requests. Writes benchmarks/results/start.csv.
"""

from __future__ import annotations

import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.protocols import SAMPLE, cpu_seconds
from benchmarks.running_server import LISTENING, is_ready, wait_for

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "start.csv"
RESIDENT: Final = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)
REQUESTS: Final = 10
LIMIT: Final = 1.03


def main(before: Path, rounds: int = 15) -> int:
    """Measure, write the results, and fail if a median grew by more than 3 %.

    Args:
        before: Checkout to compare with.
        rounds: Number of rounds.
    """
    measured: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as bytecode:
        for number in range(rounds + 1):
            checkouts = (before.resolve(), ROOT) if number % 2 else (ROOT, before.resolve())
            found = {checkout: start(checkout, bytecode) for checkout in checkouts}
            for name in found[ROOT] if number else ():  # the first round compiles modules and fills caches
                measured.setdefault(name, []).append((found[before.resolve()][name], found[ROOT][name]))
    return write(measured, rounds)


def start(checkout: Path, bytecode: str) -> Mapping[str, float]:
    """Start the server of a checkout, and return seconds, CPU seconds and memory in MiB. Modules are compiled once."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": bytecode}
    environment["PYTHONDONTWRITEBYTECODE"] = ""
    command = [sys.executable, "-m", "lineage", "serve", "--port=0"]
    with (
        tempfile.NamedTemporaryFile("w+") as log,
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, env=environment, stderr=log) as process,
    ):
        try:
            started = time.perf_counter()
            port = int(wait_for(lambda: LISTENING.search(Path(log.name).read_text()))[1])
            wait_for(lambda: is_ready(port))
            ready = {"seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds(process.pid)}
            ready["memory_mib"] = memory(process.pid)
            for _ in range(REQUESTS):
                request = urllib.request.Request(f"http://127.0.0.1:{port}/detect", SAMPLE.read_bytes())
                request.add_header("Content-Type", "image/jpeg")
                urllib.request.urlopen(request).read()
            return ready | {"memory_after_requests_mib": memory(process.pid)}
        finally:
            process.kill()


def memory(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    return int(RESIDENT.findall(Path(f"/proc/{process}/status").read_text())[0]) / 1024


def write(measured: Mapping[str, list[tuple[float, float]]], rounds: int) -> int:
    """Print and write the medians, and return 1 if one grew by more than 3 %."""
    worst = 0.0
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["measure", "before", "now", "ratio", "rounds", "cpu"])
        for name, pairs in measured.items():
            before, now = (statistics.median(values) for values in zip(*pairs, strict=True))
            ratio = statistics.median(second / first for first, second in pairs)
            worst = max(worst, ratio)
            out.writerow([name, f"{before:.3f}", f"{now:.3f}", f"{ratio:.3f}", rounds, describe_cpu()])
            print(f"{name:26} {before:9.3f} {now:9.3f}  {ratio:.3f}x")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
