"""Batch inference: resume after kill -9, and memory. `benchmarks/batch_speed.py` measures the throughput.

    python -m benchmarks.batch --output benchmarks/results/batch.csv

A toy model detects on 20,000 small images, 50 of them broken. One run is undisturbed, another gets kill -9 of the main
process and is resumed. Rows and faults must be equal.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq
import tyro

from benchmarks.cpu import describe_cpu
from tests.tiny_onnx import toy_card, toy_onnx

MEGABYTE = 2**20
BROKEN = 50
SHARD = 100


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    output: Path = Path("benchmarks/results/batch.csv")
    """CSV to write."""
    work: Path = Path("build/batch")
    """Folder for temporary files."""
    count: int = 20_000
    """Number of small images."""


def main(options: Options) -> None:
    """Measure and write the CSV."""
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    rows = [("cpu", describe_cpu()), *measure_resuming(options)]
    with options.output.open("w", newline="") as file:
        csv.writer(file).writerows([("measure", "value"), *rows])
    print(options.output.read_text())


def measure_resuming(options: Options) -> list[tuple[str, object]]:
    """Run 20,000 images undisturbed and killed, and compare the results."""
    work, images = options.work, options.work / "small"
    write_images(images, options.count)
    model = work / "toy.onnx"
    model.write_bytes(toy_onnx(toy_card()))
    whole_run = start(model, images, work / "whole")
    memory = wait_for_parts(whole_run, work / "whole", options.count)
    whole_run.wait()
    killed = start(model, images, work / "killed")
    wait_for_parts(killed, work / "killed", parts=options.count // 1000)
    kill_main(killed)
    done = len(list((work / "killed").glob("part-*")))
    start(model, images, work / "killed").wait()
    summary = json.loads((work / "killed/summary.json").read_text())
    whole, again = read_rows(work / "whole"), read_rows(work / "killed")
    faults = read_faults(work / "killed")
    half = options.count // SHARD // 2
    early = [megabytes for parts, megabytes in memory if half // 5 <= parts < half]
    late = [megabytes for parts, megabytes in memory if parts >= half]
    return [
        ("images", options.count),
        ("rows", len(again)),
        ("rows equal to the undisturbed run", whole == again),
        ("faults", len(faults)),
        ("faults equal to the undisturbed run", read_faults(work / "whole") == faults),
        ("faults without a reason", sum(not fault["reason"] for fault in faults)),
        ("parts before kill -9", done),
        ("parts kept by the resumed run", summary["resumed_parts"]),
        ("worker memory from 10 % to 50 % of the parts, MB", round(median(early))),
        ("worker memory from 50 % to 100 %, MB", round(median(late))),
    ]


def write_images(folder: Path, count: int) -> None:
    """Write small JPEGs of random blobs, of which 50 are cut off, empty or text."""
    random = np.random.default_rng(0)
    broken = set(random.choice(count, BROKEN, replace=False).tolist())
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        blobs = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        data = cv2.imencode(".jpg", cv2.resize(blobs, (96, 64), interpolation=cv2.INTER_CUBIC))[1].tobytes()
        path.write_bytes([data[:100], b"", b"no image"][number % 3] if number in broken else data)


def start(model: Path, images: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start a run in a group of its own."""
    command = ["lineage", "batch", str(images), "--output", str(output), "--model", str(model)]
    flags = ["--workers=2", f"--shard-size={SHARD}", "--provider=cpu"]
    return subprocess.Popen([sys.executable, "-m", *command, *flags], start_new_session=True)


def wait_for_parts(run: subprocess.Popen[bytes], output: Path, parts: int) -> list[tuple[int, float]]:
    """Wait for so many parts, or the end. Return parts and MB of the largest worker, over time."""
    memory: list[tuple[int, float]] = []
    while run.poll() is None and (done := len(list(output.glob("part-*")))) < parts:
        try:
            children = psutil.Process(run.pid).children(recursive=True)
            memory.append((done, max((child.memory_info().rss for child in children), default=0) / MEGABYTE))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.5)
    return memory


def kill_main(run: subprocess.Popen[bytes]) -> None:
    """Kill the main process alone. Its workers must end by themselves."""
    workers = psutil.Process(run.pid).children(recursive=True)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    _, alive = psutil.wait_procs(workers, timeout=5)
    if alive:
        raise SystemExit(f"workers outlived their parent: {alive}")


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows, in order."""
    return [row for part in sorted(folder.glob("part-*")) for row in pq.read_table(part).to_pylist()]


def read_faults(folder: Path) -> list[dict[str, Any]]:
    """Return all faults, in order."""
    return [json.loads(line) for file in sorted(folder.glob("faults-*")) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main(tyro.cli(Options))
