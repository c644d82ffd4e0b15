"""Compare two versions by shadow traffic and offline, and measure what the shadow costs the answers.

    python -m benchmarks.shadow --weights yolov5n.pt --images photos/

The weights are imported as float32 (version 1) and in another precision (version 2). Every image is sent once, with the
second version as a shadow. The report must then show the differences that the two files show offline, to the last
count. Latency is measured at half of the capacity, in rounds with and without the shadow. Writes
benchmarks/results/shadow.csv. Fails if the counts differ, or the median latency rises by more than 5 %.
"""

from __future__ import annotations

import asyncio
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tyro
from httpx2 import Client

from benchmarks.cpu import describe_cpu
from benchmarks.open_loop import Load, quantile, request_bytes
from benchmarks.running_server import serving
from model_zoo.contract.detection_diff import Difference, count_differences, pair_detections
from model_zoo.contract.detections import Detections
from model_zoo.contract.pipeline import detect_inputs, make_query, read_input
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Rollout, Shadow
from model_zoo.contract.set_rollout import set_rollout
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.open import open_engine

RESULTS: Final = Path(__file__).resolve().parent / "results"
MODEL: Final = "yolov5n"
POLL: Final = 0.2
MAX_RATIO: Final = 1.05
Counts = Counter[tuple[str, Difference]]


@dataclass(frozen=True)
class Round:
    """Latency of one round."""

    shadow: bool
    """Whether the shadow got a copy of all requests."""
    requests: int
    """Answers with status 200."""
    median_ms: float
    """Median latency."""
    p99_ms: float
    """99th percentile of the latency."""


def main(
    weights: Path,
    images: Path,
    precision: str = "int8",
    rounds: int = 10,
    seconds: float = 20.0,
    repository: Path | None = None,
    output: Path = RESULTS / "shadow.csv",
) -> None:
    """Measure and write the results.

    Args:
        weights: Checkpoint to import.
        images: Folder of images to send.
        precision: Precision of the second version: int8 or fp16.
        rounds: Number of rounds of the latency, half of them with the shadow.
        seconds: Duration of a round.
        repository: Folder with both versions of the model, named yolov5n. If omitted, the weights are imported.
        output: File of the results.
    """
    files = sorted(path for path in images.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    with tempfile.TemporaryDirectory() as folder:
        models = Repository(repository or Path(folder))
        if repository is None:
            import_twice(weights, images, precision, models)
        reported, offline = report_counts(models, files), offline_counts(models, files)
        measured = measure_latency(models, files[0].read_bytes(), rounds, seconds) if rounds else []
    write(output, reported, offline, measured)
    ratio = median_ratio(measured)
    kinds = Counter(kind for (_, kind), number in offline.items() for _ in range(number))
    print(f"report and offline comparison {'agree' if reported == offline else 'DIFFER'}: {dict(kinds)}")
    print(f"median latency with the shadow: {ratio:.3f} of that without")
    if reported != offline or ratio > MAX_RATIO:
        sys.exit(1)


def import_twice(weights: Path, images: Path, precision: str, models: Repository) -> None:
    """Import weights as version 1 (fp32) and version 2."""
    calibration = [f"--calibration={images}"] if precision == "int8" else []
    for options in ([], [f"--precision={precision}", *calibration]):
        verb = [sys.executable, "-m", "lineage", "import", str(weights), f"--name={MODEL}"]
        subprocess.run([*verb, f"--repository={models.root}", *options], check=True)


def report_counts(models: Repository, files: Sequence[Path]) -> Counts:
    """Send every image, wait for the shadow, and return the counts of the report."""
    set_rollout(models, MODEL, Rollout("1", shadow=Shadow("2")))
    comparison: dict[str, Any] = {"labels": {}}
    with serving(command(models)) as (port, _), Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for number, file in enumerate(files, 1):
            answer = client.post("/detect", params={"model": MODEL}, files={"file": file.read_bytes()})
            if answer.status_code != 200 or answer.json()["model"]["version"] != 1:
                raise SystemExit(f"{file}: expected an answer of version 1; got {answer.text[:300]}")
            comparison = wait_for_comparison(client, number)
    kinds: list[Difference] = ["same", "moved", "rescored", "lost", "found"]
    return Counter({(label, k): n for label, counts in comparison["labels"].items() for k in kinds if (n := counts[k])})


def command(models: Repository) -> list[str]:
    """Return the command of the server."""
    return [sys.executable, "-m", "lineage", "serve", "--port=0", f"--repository={models.root}", f"--poll={POLL}"]


def wait_for_comparison(client: Client, images: int) -> dict[str, Any]:
    """Return the only comparison of the report once it has a number of images."""
    while True:
        comparisons: list[dict[str, Any]] = client.get("/shadow/report").json()["comparisons"]
        for comparison in comparisons:
            if comparison["images"]["failed"] or comparison["images"]["dropped"]:
                raise SystemExit(f"an image was not compared: {comparison}")
            if comparison["images"]["compared"] == images:
                return comparison
        time.sleep(0.01)


def offline_counts(models: Repository, files: Sequence[Path]) -> Counts:
    """Compare the two files on the images, without a server."""
    names, found = [], []
    for version in (1, 2):
        package = models.resolve(f"{MODEL}@{version}")
        engine, query = open_engine(package, EngineOptions(threads=1)), make_query(package.card)
        detections: list[Detections] = []
        for file in files:
            detections += detect_inputs(
                engine.run, [read_input(engine.card, file.read_bytes(), engine.canvases)], query
            )
        names.append(package.card.class_names)
        found.append(detections)
    counts: Counts = Counter()
    for first, second in zip(*found, strict=True):
        counts += count_differences(pair_detections(first, second, names[0], names[1]))
    return counts


def measure_latency(models: Repository, image: bytes, rounds: int, seconds: float) -> list[Round]:
    """Measure rounds at half of the capacity, in turns with and without the shadow."""
    measured: list[Round] = []
    with serving(command(models)) as (port, _):
        request = request_bytes(f"/detect?model={MODEL}", image)
        rate = 0.5 * len(asyncio.run(Load(port, request, 4).run_closed(seconds))) / seconds
        for number in range(-1, rounds):  # the first one loads the shadow
            shadow = Shadow("2", 100.0 * (number % 2))
            set_rollout(models, MODEL, Rollout("1", shadow=shadow))
            time.sleep(5 * POLL)
            answers = asyncio.run(Load(port, request, 64, seed=number // 2).run(rate, seconds))
            good = sum(answer.status == 200 for answer in answers)
            latency = [1000 * quantile(answers, share) for share in (0.5, 0.99)]
            measured.append(Round(shadow.percent > 0, good, *latency))
            drain(port)
    return measured[1:]


def drain(port: int) -> None:
    """Wait until no image waits for the shadow."""
    with Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        while client.get("/shadow/report").json()["waiting"]:
            time.sleep(0.1)


def median_ratio(measured: Sequence[Round]) -> float:
    """Return the median over pairs of rounds of the median latency with the shadow, relative to that without."""
    pairs = zip(measured[::2], measured[1::2], strict=True)
    return statistics.median([on.median_ms / off.median_ms for off, on in pairs] or [1.0])


def write(output: Path, reported: Counts, offline: Counts, measured: Sequence[Round]) -> None:
    """Write counts and latency as CSV."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", newline="") as file:
        file.write(f"# python -m benchmarks.shadow on {describe_cpu()}\n")
        table = csv.writer(file)
        table.writerow(("label", "difference", "report", "offline"))
        table.writerows((*key, reported[key], offline[key]) for key in sorted(reported | offline))
        table.writerow(("shadow", "requests", "median_ms", "p99_ms"))
        table.writerows(
            ("on" if r.shadow else "off", r.requests, f"{r.median_ms:.1f}", f"{r.p99_ms:.1f}") for r in measured
        )


if __name__ == "__main__":
    tyro.cli(main)
