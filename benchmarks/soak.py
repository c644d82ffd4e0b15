"""Run `lineage serve` at 80 % of its capacity for a long time, while versions are swapped and clients misbehave.

    python -m benchmarks.soak --weights yolov5n.pt                        # 30 minutes, three models
    python -m benchmarks.soak --weights yolov5n.pt --seconds 20 --swap-seconds 4 --output build

Every swap publishes a version, makes it canary and shadow, the previous one stable, and removes the oldest. Versions
alternate between two default min scores, so an answer of the wrong version is found. Writes soak.csv (a row a second)
and soak.png, prints a verdict for each criterion, and returns 1 if one fails.
"""

from __future__ import annotations

import asyncio
import csv
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Final

import cv2
import numpy as np
import psutil
import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.running_server import serving
from benchmarks.soak_traffic import Traffic, expect
from model_zoo.contract.card import ModelCard
from model_zoo.contract.manifest import CARD, MODEL
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, Rollout, Shadow
from model_zoo.contract.set_rollout import set_rollout
from model_zoo.convert import export_random, import_weights
from model_zoo.golden import synthetic_golden_images
from model_zoo.publish import publish_model, write_card
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.malformed_images import malformed_files

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
MIN_SCORES: Final = {"ui-elements": (0.25, 0.4), "yolov5n": (0.25, 0.4), "tiny": (0.005, 0.02)}  # of even, odd versions
LONG: Final = 600  # seconds from which memory, descriptors and threads are judged
MAX_MEGABYTES_A_MINUTE: Final = 1.0
PERIODS: Final = 24
MAX_GROWTH: Final = 6  # descriptors and threads


@dataclass(frozen=True)
class Sample:
    """State of the server process at one moment."""

    seconds: float
    """Seconds since the start of the load."""
    memory: int
    """Resident bytes."""
    descriptors: int
    """Open file descriptors."""
    threads: int
    """Threads."""


@dataclass(frozen=True)
class Contents:
    """Contents of the versions of one model, by the parity of their number."""

    cards: tuple[ModelCard, ModelCard]
    """Cards of even and odd versions."""
    files: tuple[Mapping[str, Path], Mapping[str, Path]]
    """Files of even and odd versions."""

    def publish(self, repository: Repository, version: int) -> Package:
        """Publish the next version, which must get this number."""
        return repository.publish(self.cards[version % 2], self.files[version % 2])


def main(
    weights: Path | None = None,
    seconds: float = 1800,
    swap_seconds: float = 20,
    load: float = 0.8,
    output: Path = RESULTS,
) -> int:
    """Run the soak and return 1 if a criterion fails.

    Args:
        weights: Checkpoint of yolov5n. If omitted, only the bundled and a tiny model are served.
        seconds: Duration of the load.
        swap_seconds: Seconds between two swaps.
        load: Share of the measured capacity to send.
        output: Folder for soak.csv and soak.png.
    """
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder) / "models")
        contents = make_models(Path(folder), weights)
        packages = [c.publish(repository, v) for c in contents.values() for v in (1, 2)]
        images = make_images()
        print(f"{len(packages)} packages, {len(images)} images; computing the expected detections", flush=True)
        hostile = [file.data for file in malformed_files() if file.refused]
        flags = ["--port=0", "--poll=0.5", f"--repository={repository.root}"]
        with serving([sys.executable, "-m", "lineage", "serve", *flags]) as (port, pid):
            traffic = Traffic(port, images, hostile, expect(packages, images))
            samples = asyncio.run(
                _soak(traffic, psutil.Process(pid), repository, contents, seconds, swap_seconds, load)
            )
    output.mkdir(parents=True, exist_ok=True)
    write_samples(samples, output)
    return report(traffic, samples, contents, seconds)


def make_models(folder: Path, weights: Path | None) -> dict[str, Contents]:
    """Make both kinds of versions of each model."""
    staging = Repository(folder / "staging")
    export_random("yolov1-test", folder / "tiny.onnx")
    models = [BUNDLED_REPOSITORY.resolve("ui-elements"), publish_model(folder / "tiny.onnx", staging)]
    if weights:
        models.append(import_weights(weights, staging, "yolov5n"))
    return {package.name: _contents(package, folder) for package in models}


def _contents(package: Package, folder: Path) -> Contents:
    cards, files = [], []
    for score in MIN_SCORES[package.name]:
        card = replace(package.card, thresholds=replace(package.card.thresholds, score=score))
        model = folder / f"{package.name}-{score}.onnx"
        write_card(package.model_path, card, model)
        kept = {file.name: package.path / file.name for file in package.files if file.name != CARD}
        cards.append(card)
        files.append({**kept, MODEL: model})
    return Contents((cards[0], cards[1]), (files[0], files[1]))


def make_images() -> dict[str, bytes]:
    """Return images of several sizes and formats."""
    images: dict[str, bytes] = {}
    for side, suffix in ((160, ".png"), (640, ".jpg"), (1280, ".jpg")):
        for name, image in synthetic_golden_images((640, 640)).items():
            size = (max(image.shape[1] * side // 640, 1), side)
            encoded = cv2.imencode(suffix, cv2.resize(image[..., ::-1], size))[1]
            images[f"{name} {side}{suffix}"] = encoded.tobytes()
    return images


async def _soak(
    traffic: Traffic,
    process: psutil.Process,
    repository: Repository,
    contents: Mapping[str, Contents],
    seconds: float,
    swap_seconds: float,
    load: float,
) -> list[Sample]:
    capacity = await traffic.run_closed(min(10, seconds / 2))
    print(f"capacity {capacity:.1f} answers/s; sending {load * capacity:.1f}/s for {seconds:g} s", flush=True)
    samples: list[Sample] = []
    tasks = [
        asyncio.create_task(_swap(repository, contents, swap_seconds, traffic)),
        asyncio.create_task(_sample(process, samples)),
    ]
    try:
        await traffic.run_open(load * capacity, seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return samples


async def _swap(repository: Repository, contents: Mapping[str, Contents], interval: float, traffic: Traffic) -> None:
    for name, percent in zip(itertools.cycle(contents), itertools.cycle((10, 50, 90, 100)), strict=False):
        await asyncio.sleep(interval)
        try:
            await asyncio.to_thread(swap, repository, name, contents[name], percent)
        except Exception as error:
            traffic.failures.append(f"swap of {name}: {error}")
            traffic.counts["failed"] += 1
        traffic.counts["swaps"] += 1


def swap(repository: Repository, name: str, contents: Contents, percent: float) -> None:
    """Publish a version as canary and shadow, make the previous one stable, and remove older ones."""
    newest = contents.publish(repository, repository.versions(name)[-1] + 1).version
    canary = Canary(str(newest), percent)
    set_rollout(repository, name, Rollout(str(newest - 1), canary, Shadow(str(newest))))
    for version in repository.versions(name):
        if version < newest - 1:
            repository.remove(name, version)


async def _sample(process: psutil.Process, samples: list[Sample]) -> None:
    start = time.monotonic()
    while True:
        with process.oneshot():
            state = process.memory_info().rss, process.num_fds(), process.num_threads()
        samples.append(Sample(time.monotonic() - start, *state))
        await asyncio.sleep(1)


def lowest(samples: Sequence[Sample], measure: str) -> list[tuple[float, int]]:
    """Return time and value of the lowest sample in each of `PERIODS` periods after the first quarter, the warm-up.

    Loads of versions and requests in flight take memory and descriptors for a moment. A leak raises what remains.
    """
    later = [(sample.seconds, getattr(sample, measure)) for sample in samples[len(samples) // 4 :]]
    parts = np.array_split(np.arange(len(later)), min(PERIODS, len(later)))
    return [min((later[i] for i in part), key=itemgetter(1)) for part in parts]


def megabytes_a_minute(samples: Sequence[Sample]) -> float:
    """Return the median slope (Theil-Sen) through the lowest memory of each period."""
    from scipy.stats import theilslopes  # here: importing it is slow

    seconds, memory = zip(*lowest(samples, "memory"), strict=True)
    return float(theilslopes(memory, seconds)[0]) * 60 / 1e6


def growth(samples: Sequence[Sample], measure: str) -> float:
    """Return by how much the lowest values of the last third exceed those of the first third, in the median."""
    values = [value for _, value in lowest(samples, measure)]
    third = max(len(values) // 3, 1)
    return median(values[-third:]) - median(values[:third])


def report(traffic: Traffic, samples: Sequence[Sample], contents: Mapping[str, Contents], seconds: float) -> int:
    """Print a line for each criterion, and return 1 if one fails."""
    counts, judged = traffic.counts, seconds >= LONG
    slope = megabytes_a_minute(samples)
    grown = {name: growth(samples, name) for name in ("descriptors", "threads")}
    silent = [name for name in contents if not any(key.startswith(f"{name}@") for key in counts)]
    verdicts = [
        ("no server error, no wrong answer", not counts["failed"], f"{counts['failed']} of {counts['ok']} failed"),
        ("every model answered", not silent, ", ".join(silent) or "all"),
        ("versions were swapped", counts["swaps"] > 0, f"{counts['swaps']} swaps"),
        ("hostile files and lost clients", counts["hung up"] > 0, f"{counts['hostile']} and {counts['hung up']}"),
        ("memory flat", not judged or slope < MAX_MEGABYTES_A_MINUTE, f"{slope:+.2f} MB/min"),
        *((f"{name} flat", not judged or by <= MAX_GROWTH, f"{by:+g}") for name, by in grown.items()),
    ]
    for criterion, passed, detail in verdicts:
        print(f"{'pass' if passed else 'FAIL'}  {criterion}: {detail}")
    print(f"      refused with Retry-After: {counts['refused']}", *traffic.failures, sep="\n")
    return int(not all(passed for _, passed, _ in verdicts))


def write_samples(samples: Sequence[Sample], output: Path) -> None:
    """Write the time series as CSV and as a plot."""
    with (output / "soak.csv").open("w", newline="") as file:
        file.write(f"# python -m benchmarks.soak {' '.join(sys.argv[1:])} | {describe_cpu()}\n")
        table = csv.writer(file)
        table.writerow(["seconds", "memory_mb", "descriptors", "threads"])
        table.writerows([f"{s.seconds:.1f}", f"{s.memory / 1e6:.1f}", s.descriptors, s.threads] for s in samples)
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(8, 6))
    minutes = [sample.seconds / 60 for sample in samples]
    for ax, (label, values) in zip(
        axes,
        {
            "memory, MB": [s.memory / 1e6 for s in samples],
            "descriptors": [s.descriptors for s in samples],
            "threads": [s.threads for s in samples],
        }.items(),
        strict=True,
    ):
        ax.plot(minutes, values)
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes")
    figure.savefig(output / "soak.png", dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
