"""The manifest of a run: its options and its shards. It is written first, and every resumed run follows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from model_zoo.batch.folder import LOCK, Folder
from model_zoo.contract import typed_json
from model_zoo.contract.errors import LineageError
from model_zoo.contract.pipeline import Query
from model_zoo.runtime.choice import Compute, Provider

Format = Literal["parquet", "coco"]
Kind = Literal["files", "table", "tar"]
MANIFEST: Final = "manifest.json"
LISTING: Final = "images.parquet"
SUMMARY: Final = "summary.json"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Options:
    """Options that decide what a run writes. A resumed run must have the same."""

    sources: tuple[str, ...]
    """Absolute paths and URLs of the images."""
    column: str
    """Column of Parquet files with the bytes or the paths of images."""
    limit: int | None
    """Max images."""
    shard_size: int
    """Max images in a shard of files or rows."""
    format: Format
    """Format of the results."""
    model: str
    """Name of the model."""
    model_version: int
    """Version of the model, 0 for a file outside a repository."""
    model_sha256: str
    """SHA-256 of the model file."""
    score: float
    """Min score, exclusive."""
    iou: float
    """Measure above which NMS suppresses a box."""
    distance_weight: float
    """1 for DIoU-NMS, 0 for plain IoU-NMS."""
    classes: tuple[int, ...] | None
    """Class indices to return, or None for all."""
    max_detections: int
    """Max detections per image."""
    exact_decode: bool
    """Whether large JPEGs are decoded at full size."""
    provider: Provider
    """Execution provider as given."""
    compute: Compute
    """Precision as given."""

    @property
    def query(self) -> Query:
        """Thresholds, classes and limits of all images."""
        classes = None if self.classes is None else frozenset(self.classes)
        return Query(self.score, self.iou, self.distance_weight, classes, self.max_detections)


@dataclass(frozen=True)
class Shard:
    """Images that one worker processes and writes in one piece."""

    kind: Kind
    """files: rows of the listing. table: rows of a Parquet file. tar: a WebDataset shard."""
    uri: str
    """Parquet file or WebDataset shard. Empty for files."""
    start: int
    """First row."""
    stop: int | None
    """Row after the last. None: all images of a WebDataset shard."""

    @property
    def images(self) -> int | None:
        """Number of images, or None if it is unknown."""
        return None if self.stop is None else self.stop - self.start


@dataclass(frozen=True)
class Manifest:
    """Everything that a run and its workers need, apart from the model."""

    schema_version: int
    """Version of this format."""
    options: Options
    """Options of the run."""
    provider: Provider
    """Execution provider that all workers use."""
    compute: Compute
    """Precision that all workers use."""
    shards: tuple[Shard, ...]
    """Shards, in the order of the results."""

    @property
    def images(self) -> int | None:
        """Number of images, or None if it is unknown."""
        counts = [shard.images for shard in self.shards]
        return None if None in counts else sum(count or 0 for count in counts)

    def part_name(self, number: int) -> str:
        """Return the name of the results of a shard."""
        return f"part-{number:05}.{'parquet' if self.options.format == 'parquet' else 'json'}"

    def faults_name(self, number: int) -> str:
        """Return the name of the table of images that a shard could not use."""
        return f"faults-{number:05}.jsonl"

    def write(self, folder: Folder) -> None:
        """Write the manifest."""
        folder.write(MANIFEST, (json.dumps(asdict(self), indent=1) + "\n").encode())


def read_manifest(folder: Folder) -> Manifest | None:
    """Return the manifest of an earlier run, or None in a new folder.

    Raises:
        LineageError: The manifest is damaged or of another version, or the folder has files of other programs.
    """
    names = folder.names()
    if MANIFEST not in names:
        if others := sorted(names - {LISTING, LOCK}):
            raise LineageError(f"{folder.uri}: expected a new folder, or one of an earlier run; it has {others[0]}")
        return None
    try:
        data = typed_json.parse(folder.read(MANIFEST).decode())
        if isinstance(data, Mapping) and data.get("schema_version") != SCHEMA_VERSION:
            raise LineageError(f"expected schema_version {SCHEMA_VERSION}; got {data.get('schema_version')}")
        return Manifest(**typed_json.read_fields(Manifest, data))
    except (LineageError, UnicodeDecodeError) as error:
        raise LineageError(f"{folder.file(MANIFEST)}: {error}; choose another --output") from error


def check_same(folder: Folder, started: Options, given: Options) -> None:
    """Check that a run is resumed with the options that it was started with.

    Raises:
        LineageError: One differs.
    """
    for field in fields(Options):
        before, now = getattr(started, field.name), getattr(given, field.name)
        if before != now:
            raise LineageError(
                f"{folder.uri}: this run was started with {field.name} {_text(before)}; got {_text(now)}; resume it "
                "with the same options, or choose another --output"
            )


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
