"""Run a batch: plan or resume it, process the shards that are left, and summarize.

summary = run_batch("s3://bucket/results", package, options)
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Final, Literal

from model_zoo.batch.folder import Folder
from model_zoo.batch.local import run_local
from model_zoo.batch.manifest import SCHEMA_VERSION, SUMMARY, Manifest, Options, check_same, read_manifest
from model_zoo.batch.plan import plan
from model_zoo.batch.ray_data import run_ray
from model_zoo.batch.results import Counts, read_counts
from model_zoo.batch.worker import Job, ShardReport
from model_zoo.contract import typed_json
from model_zoo.contract.package import Package
from model_zoo.progress import Progress
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.select import choose

Cluster = Literal["local", "ray"]
Run = Callable[[Job, Sequence[int], int], Iterator[ShardReport]]
RUNS: Final[dict[Cluster, Run]] = {"local": run_local, "ray": run_ray}
FOOTER_READERS: Final = 16


@dataclass(frozen=True)
class WorkerSummary:
    """Throughput of one worker in this run."""

    worker: str
    """Name of the worker."""
    images: int
    """Images that it processed, with faults."""
    seconds: float
    """Time that it worked."""
    images_per_second: float
    """Images by seconds."""


@dataclass(frozen=True)
class Summary:
    """Result of a batch."""

    model: str
    """Name of the model."""
    model_version: int
    """Version of the model."""
    parts: int
    """Number of result files."""
    images: int
    """Images with results."""
    faults: int
    """Images that could not be used."""
    detections: int
    """Detections in all images."""
    resumed_parts: int
    """Parts that earlier runs wrote."""
    seconds: float
    """Time of this run."""
    images_per_second: float
    """Images of this run by its time, with the start of the workers."""
    workers: tuple[WorkerSummary, ...]
    """Throughput of each worker in this run."""


def run_batch(
    output: str, package: Package, options: Options, *, engine: Cluster = "local", workers: int = 1
) -> Summary:
    """Detect on all images, or on those that an interrupted run has left, and write `summary.json`.

    Args:
        output: Folder or URL for the results.
        package: The model.
        options: Options that decide what is written.
        engine: local for this machine, ray for a Ray cluster.
        workers: Number of engines.

    Raises:
        LineageError: A source or store cannot be read, the run was started with other options, or a worker failed.
    """
    started = time.perf_counter()
    folder = Folder(output)
    with folder.lock():
        manifest = open_manifest(folder, package, options)
        names = folder.names()
        numbers = range(len(manifest.shards))
        done = [number for number in numbers if manifest.part_name(number) in names]
        left = [number for number in numbers if manifest.part_name(number) not in names]
        if not left and SUMMARY in names:
            return Summary(**typed_json.read_fields(Summary, typed_json.parse(folder.read(SUMMARY).decode())))
        earlier = _count_parts(folder, manifest, done)
        job = Job(folder.uri, package, manifest)
        reports = list(_track(RUNS[engine](job, left, workers), manifest, earlier)) if left else []
        summary = _summarize(manifest, earlier, reports, time.perf_counter() - started)
        folder.write(SUMMARY, (json.dumps(asdict(summary), indent=2) + "\n").encode())
    return summary


def open_manifest(folder: Folder, package: Package, options: Options) -> Manifest:
    """Return the manifest of the run to resume, or plan and write a new one.

    Raises:
        LineageError: The run has other options, or a source cannot be read.
    """
    manifest = read_manifest(folder)
    if manifest:
        check_same(folder, manifest.options, options)
        return manifest
    choice = choose(package, EngineOptions(provider=options.provider, compute=options.compute))
    manifest = Manifest(SCHEMA_VERSION, options, choice.provider, choice.compute, plan(folder, options))
    manifest.write(folder)
    return manifest


def _count_parts(folder: Folder, manifest: Manifest, numbers: Sequence[int]) -> list[Counts]:
    with ThreadPoolExecutor(FOOTER_READERS) as pool:
        return list(pool.map(lambda number: read_counts(folder, manifest, number), numbers))


def _track(reports: Iterable[ShardReport], manifest: Manifest, earlier: Sequence[Counts]) -> Iterator[ShardReport]:
    """Yield the reports and show progress: in images where their number is known, otherwise in shards."""
    by_image = manifest.images is not None
    total = (manifest.images or 0) - _images(earlier) if by_image else len(manifest.shards) - len(earlier)
    with Progress("batch", total, "image" if by_image else "shard") as progress:
        for report in reports:
            yield report
            progress.update(_images([report.counts]) if by_image else 1)


def _summarize(
    manifest: Manifest, earlier: Sequence[Counts], reports: Sequence[ShardReport], seconds: float
) -> Summary:
    now = [report.counts for report in reports]
    every = [*earlier, *now]
    return Summary(
        manifest.options.model,
        manifest.options.model_version,
        len(every),
        sum(counts.images for counts in every),
        sum(counts.faults for counts in every),
        sum(counts.detections for counts in every),
        len(earlier),
        round(seconds, 3),
        _rate(_images(now), seconds),
        tuple(_summarize_worker(name, own) for name, own in sorted(_by_worker(reports).items())),
    )


def _by_worker(reports: Iterable[ShardReport]) -> dict[str, list[ShardReport]]:
    groups = defaultdict[str, list[ShardReport]](list)
    for report in reports:
        groups[report.worker].append(report)
    return groups


def _summarize_worker(name: str, reports: Sequence[ShardReport]) -> WorkerSummary:
    images, seconds = _images([report.counts for report in reports]), sum(report.seconds for report in reports)
    return WorkerSummary(name, images, round(seconds, 3), _rate(images, seconds))


def _images(counts: Iterable[Counts]) -> int:
    return sum(entry.images + entry.faults for entry in counts)


def _rate(images: int, seconds: float) -> float:
    return round(images / seconds, 3) if seconds else 0.0
