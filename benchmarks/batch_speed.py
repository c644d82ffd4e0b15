"""Compare two workers of `lineage batch` with one, each on a core of its own, in alternating rounds.

    python -m benchmarks.batch_speed --repository MODELS --model yolov5n --images IMAGES

Bare engines on the same cores take turns with them. Their ratio is what the cores allow: two cores of a shared machine
rarely do twice the work of one. Appends medians to benchmarks/results/batch_speed.csv.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import tyro

from benchmarks.bare_engines import images_per_second
from benchmarks.cpu import describe_cpu
from model_zoo.contract.repository import Repository

OUTPUT = Path(__file__).parent / "results" / "batch_speed.csv"
SHARDS = 6  # per worker


def main(repository: Path, model: str, images: Path, limit: int = 150, rounds: int = 3, seconds: float = 8) -> None:
    """Measure one and two workers, and one and two bare engines.

    Args:
        repository: Folder of model packages.
        model: Model to measure.
        images: Folder of JPEG files of one size.
        limit: Images per worker and round.
        rounds: Number of rounds.
        seconds: Seconds of bare engines in each round.
    """
    package = Repository(repository).resolve(model)
    first = sorted(images.rglob("*.jpg"))[0].read_bytes()
    speeds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for cores in (1, 2):
            speeds.setdefault(("bare engines", cores), []).append(images_per_second(package, first, cores, seconds))
            speeds.setdefault(("workers", cores), []).append(batch(package.model_path, images, limit, cores))
            print({f"{name}, {number}": f"{of[-1]:.2f}" for (name, number), of in speeds.items()}, flush=True)
    write(model, {key: median(of) for key, of in speeds.items()})


def batch(model: Path, images: Path, limit: int, workers: int) -> float:
    """Return the images per second of so many workers, from their first image to their last."""
    pinned = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:workers]))]
    with tempfile.TemporaryDirectory() as output:
        command = ["lineage", "batch", str(images), "--output", output, "--model", str(model), "--provider=cpu"]
        flags = [f"--workers={workers}", f"--limit={limit * workers}", f"--shard-size={limit // SHARDS}"]
        subprocess.run(
            [*pinned, sys.executable, "-m", *command, *flags, "--compute=fp32"], check=True, capture_output=True
        )
        summary = json.loads((Path(output) / "summary.json").read_text(encoding="utf-8"))
    return float(sum(worker["images_per_second"] for worker in summary["workers"]))


def write(model: str, medians: dict[tuple[str, int], float]) -> None:
    """Append medians to the CSV, and print the ratios."""
    new = not OUTPUT.exists()
    with OUTPUT.open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerows([("model", "measured", "cores", "images_per_second", "ratio")] if new else [])
        for (name, cores), speed in medians.items():
            rows.writerow((model, name, cores, f"{speed:.2f}", f"{speed / medians[name, 1]:.3f}"))
    print({name: f"{medians[name, 2] / medians[name, 1]:.3f}" for name in ("bare engines", "workers")}, describe_cpu())


if __name__ == "__main__":
    tyro.cli(main)
