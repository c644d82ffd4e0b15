"""Compare training on a CPU with one process on all cores to one process per core.

    python benchmarks/processes.py

Every step uses the same number of images over all processes, at alternating sizes as in training. Rounds alternate
between both. Writes medians to benchmarks/results/processes.csv.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import tyro
from loky import cpu_count

from model_zoo.registry import build
from training.loop.distributed import process_group

ROOT = Path(__file__).resolve().parents[1]
SIDES = (544, 640, 480, 576)
PASSES = 2  # over the sides


def measure(model: str, batch: int) -> None:
    """Run training steps, on all ranks of torchrun if used, and print the images per second of all ranks."""
    with process_group(cuda=False) as group:
        detector = build(model).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = group.wrap(detector)

        def step(side: int) -> None:
            images = torch.rand(batch // group.world_size, 3, side, side).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                maps = network(images)
            sum(m.float().square().mean() for m in maps).backward()

        for side in SIDES[:2]:
            step(side)
        start = time.perf_counter()
        for side in PASSES * SIDES:
            step(side)
        if group.is_main:
            print(PASSES * len(SIDES) * batch / (time.perf_counter() - start))


def main(model: str = "yolov5n", batch: int = 16, rounds: int = 3) -> None:
    """Measure both in turns.

    Args:
        model: Variant to train.
        batch: Images per step, over all processes.
        rounds: Number of rounds.
    """
    cores = cpu_count()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(cores)]
    subjects = {"one process": [], f"{cores} processes": torchrun}
    speeds: dict[str, list[float]] = {subject: [] for subject in subjects}
    for _ in range(rounds):
        for subject, launcher in subjects.items():
            command = [sys.executable, *launcher, __file__, "measure", model, str(batch)]
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            speeds[subject].append(float(done.stdout))
    with open(ROOT / "benchmarks" / "results" / "processes.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["model", "batch", "subject", "images_per_second"])
        rows.writerows([model, batch, subject, f"{statistics.median(of):.1f}"] for subject, of in speeds.items())


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], int(sys.argv[3]))
    else:
        tyro.cli(main)
