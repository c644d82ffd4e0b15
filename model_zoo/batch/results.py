"""Results of a shard, as Parquet or COCO JSON, and the table of images that could not be used."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import Manifest, Options
from model_zoo.contract import typed_json
from model_zoo.contract.detections import Detections
from model_zoo.contract.letterbox import Size
from model_zoo.runtime.label_files import coco_annotation, coco_categories, coco_head

MAX_SHARD: Final = 1_000_000  # images; ids in COCO files are unique over all shards
MAX_ANNOTATIONS: Final = 1_000_000_000  # of a shard
DETECTION: Final = pa.struct(
    [("box", pa.list_(pa.float64())), ("score", pa.float64()), ("class_id", pa.int32()), ("label", pa.string())]
)
SCHEMA: Final = pa.schema(
    [
        ("image", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("detections", pa.list_(DETECTION)),
        ("warning", pa.string()),
        ("model", pa.string()),
        ("model_version", pa.int32()),
    ]
)
COUNTS: Final = b"lineage_counts"  # key of a file's metadata


@dataclass(frozen=True, eq=False)
class Row:
    """Detections of one image."""

    image: str
    """Path or URL. Images in Parquet files and WebDataset shards are named `file#row` and `file#member`."""
    size: Size
    """Height and width in pixels."""
    detections: Detections
    """Detections in pixels of the image."""
    warning: str
    """Damage that the decoder skipped, empty if there is none."""


@dataclass(frozen=True)
class Fault:
    """An image that cannot be used."""

    image: str
    """Name as in `Row`."""
    reason: str
    """Message of the error."""
    bytes: int | None
    """Size of the file, if it could be read."""


@dataclass(frozen=True)
class Counts:
    """Numbers of images, faults and detections in a shard."""

    images: int
    """Images with results."""
    faults: int
    """Images that could not be used."""
    detections: int
    """Detections in all images."""


def write_shard(
    folder: Folder, manifest: Manifest, number: int, names: Sequence[str], rows: Sequence[Row], faults: Sequence[Fault]
) -> Counts:
    """Write the results of a shard. It is complete once the last file, the part, exists.

    Args:
        folder: Folder of the results.
        manifest: Manifest of the run.
        number: Number of the shard.
        names: Class names.
        rows: Detections, in the order of the images.
        faults: Images that could not be used, in the same order.
    """
    counts = Counts(len(rows), len(faults), sum(len(row.detections) for row in rows))
    if faults:
        lines = [json.dumps(asdict(fault), ensure_ascii=False) + "\n" for fault in faults]
        folder.write(manifest.faults_name(number), "".join(lines).encode(errors="replace"))
    else:
        folder.remove(manifest.faults_name(number))  # of a try that could not read an image
    if manifest.options.format == "parquet":
        contents = _to_parquet(manifest.options, names, rows, counts)
    else:
        contents = _to_coco(manifest.options, number, names, rows, counts)
    folder.write(manifest.part_name(number), contents)
    return counts


def read_counts(folder: Folder, manifest: Manifest, number: int) -> Counts:
    """Return what is in the results of a shard that an earlier run wrote.

    Raises:
        LineageError: They cannot be read.
    """
    with folder.open(manifest.part_name(number)) as file:
        if manifest.options.format == "parquet":
            data = json.loads(pq.read_metadata(file).metadata[COUNTS])
        else:
            data = json.loads(file.read())["info"]["counts"]
        return Counts(**typed_json.read_fields(Counts, data))


def _to_parquet(options: Options, names: Sequence[str], rows: Sequence[Row], counts: Counts) -> bytes:
    columns = [
        [row.image for row in rows],
        [row.size[1] for row in rows],
        [row.size[0] for row in rows],
        [row.detections.to_dict(names) for row in rows],
        [row.warning or None for row in rows],
        [options.model] * len(rows),
        [options.model_version] * len(rows),
    ]
    buffer = io.BytesIO()
    table = pa.table(columns, schema=SCHEMA).replace_schema_metadata({COUNTS: json.dumps(asdict(counts))})
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _to_coco(options: Options, number: int, names: Sequence[str], rows: Sequence[Row], counts: Counts) -> bytes:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    image_ids, numbers = count(number * MAX_SHARD + 1), count(number * MAX_ANNOTATIONS + 1)
    category_ids = coco_categories(names)
    for image_id, row in zip(image_ids, rows, strict=False):
        height, width = row.size
        images.append({"id": image_id, "file_name": row.image, "width": width, "height": height})
        entries = row.detections.to_coco(image_id, category_ids)
        annotations += [coco_annotation(entry, next(numbers)) for entry in entries]
    head = coco_head(names, f"{options.model}@{options.model_version}")
    head["info"]["counts"] = asdict(counts)
    return (json.dumps(head | {"images": images, "annotations": annotations}) + "\n").encode()
