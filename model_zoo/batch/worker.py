"""A worker: an engine that detects on one shard after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from loky import cpu_count

from model_zoo.batch.folder import Folder
from model_zoo.batch.images import Item, read_items
from model_zoo.batch.manifest import Manifest
from model_zoo.batch.results import Counts, Fault, Row, write_shard
from model_zoo.batch.stores import is_local
from model_zoo.contract import pipeline
from model_zoo.contract.errors import ImageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.ordered_map import ordered_map
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import ModelInput
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.open import open_engine

ON_CPU: Final = ("cpu", "openvino")
CPU_READERS: Final = 2  # threads that read and decode ahead of an engine on one core
STORE_READERS: Final = 16  # they wait for the network most of the time


@dataclass(frozen=True)
class Job:
    """Everything a worker needs. It can be sent to another process."""

    output: str
    """Folder of the results."""
    package: Package
    """The model."""
    manifest: Manifest
    """Manifest of the run."""


@dataclass(frozen=True)
class ShardReport:
    """Result of a worker for one shard."""

    worker: str
    """Name of the worker."""
    counts: Counts
    """Contents of the shard."""
    seconds: float
    """Time from the first image to the written file."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image on its canvas, or why there is none."""

    item: Item
    """The image."""
    input: ModelInput | None
    """The image on its canvas."""
    warning: str = ""
    """Damage that the decoder skipped."""
    fault: Fault | None = None
    """Why the image cannot be used."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Images of one canvas size."""

    indices: list[int] = field(default_factory=list)
    """Their positions in the shard."""
    images: list[Decoded] = field(default_factory=list)
    """The images."""


class Worker:
    """An engine, and threads that read and decode ahead of it. On a CPU, the engine uses one core."""

    def __init__(self, job: Job, name: str) -> None:
        self._job, self._name = job, name
        self._options, self._query = job.manifest.options, job.manifest.options.query
        self._folder = Folder(job.output)
        self._engine = open_engine(job.package, engine_options(job.manifest))
        self._readers = count_readers(job.manifest)
        self._ahead = 2 * self._readers + self._engine.max_batch

    def run(self, number: int) -> ShardReport:
        """Detect on the images of a shard and write the results.

        Raises:
            LineageError: A store cannot be reached.
        """
        started = time.perf_counter()
        items = read_items(self._folder, self._job.manifest, self._job.manifest.shards[number])
        rows: dict[int, Row] = {}
        faults: list[Fault] = []
        for batch in self._batches(self._decode_ahead(items), faults):
            rows |= self._detect(batch)
        ordered = [rows[index] for index in sorted(rows)]
        names = self._engine.card.class_names
        counts = write_shard(self._folder, self._job.manifest, number, names, ordered, faults)
        return ShardReport(self._name, counts, time.perf_counter() - started)

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()

    def _decode_ahead(self, items: Iterable[Item]) -> Iterator[Decoded]:
        return ordered_map(self._decode, items, self._readers, self._ahead)

    def _decode(self, item: Item) -> Decoded:
        size: int | None = None
        warnings: list[str] = []
        try:
            data = item.read()
            size = len(data)
            engine, exact = self._engine, self._options.exact_decode
            image = pipeline.read_input(engine.card, data, engine.canvases, exact=exact, warn=warnings.append)
        except ImageError as error:
            return Decoded(item, None, fault=Fault(item.name, str(error), size))
        return Decoded(item, image, "".join(warnings))

    def _batches(self, images: Iterable[Decoded], faults: list[Fault]) -> Iterator[_Batch]:
        """Collect images by canvas, and yield each batch as soon as it is full. Faults go into their list."""
        open_batches: dict[Size, _Batch] = {}
        for index, image in enumerate(images):
            if image.input is None:
                faults += [image.fault] if image.fault else []
                continue
            canvas = image.input.geometry.canvas
            batch = open_batches.setdefault(canvas, _Batch())
            batch.indices.append(index)
            batch.images.append(image)
            if len(batch.images) == self._engine.max_batch:
                yield open_batches.pop(canvas)
        yield from open_batches.values()

    def _detect(self, batch: _Batch) -> dict[int, Row]:
        """Return rows by position in the shard."""
        inputs = [image.input for image in batch.images if image.input]
        found = pipeline.detect_inputs(self._engine.run, inputs, self._query)
        return {
            index: Row(image.item.name, image_input.geometry.image, detections, image.warning)
            for index, image, image_input, detections in zip(batch.indices, batch.images, inputs, found, strict=True)
        }


def count_readers(manifest: Manifest) -> int:
    """Return the number of threads that read and decode ahead of the engine."""
    if not all(map(is_local, manifest.options.sources)):
        return STORE_READERS
    return CPU_READERS if manifest.provider in ON_CPU else int(cpu_count())


def engine_options(manifest: Manifest) -> EngineOptions:
    """Return the options of a worker's engine: one core on a CPU, the engine's own limits on a GPU."""
    one = 1 if manifest.provider in ON_CPU else None
    return EngineOptions(provider=manifest.provider, compute=manifest.compute, workers=one, threads=one)
