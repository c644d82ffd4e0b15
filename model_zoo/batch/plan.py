"""Cut the images of all sources into shards."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import LISTING, Options, Shard
from model_zoo.batch.sources import Found, ImageFile, Table, find, tar_images
from model_zoo.batch.stores import open_file

LISTING_SCHEMA = pa.schema([("image", pa.string()), ("bytes", pa.int64())])


def plan(folder: Folder, options: Options) -> tuple[Shard, ...]:
    """List the images of the sources, write the listing of image files and return the shards.

    Shards of image files come first. The listing has a row group for each.

    Raises:
        LineageError: A source does not exist, has no images or cannot be read.
    """
    planner = _Planner(options.shard_size, options.limit)
    for found in find(options.sources, options.column):
        planner.add(found)
        if planner.is_full:
            break
    listing = planner.close()
    folder.write(LISTING, listing)
    files = range(0, planner.files, options.shard_size)
    return (*(Shard("files", "", i, min(i + options.shard_size, planner.files)) for i in files), *planner.archives)


@dataclass
class _Planner:
    """Collects image files in a listing, and shards of tables and tar files."""

    shard_size: int
    """Max images in a shard."""
    left: int | None
    """Images until the limit, or None without one."""
    files: int = 0
    """Number of image files in the listing."""
    archives: list[Shard] = field(default_factory=list)
    """Shards of tables and tar files."""

    def __post_init__(self) -> None:
        self._buffer = io.BytesIO()
        self._writer = pq.ParquetWriter(self._buffer, LISTING_SCHEMA, compression="zstd")
        self._rows: list[ImageFile] = []

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.left == 0

    def add(self, found: Found) -> None:
        """Add an image file, a table or a tar file, up to the limit."""
        if isinstance(found, ImageFile):
            self._rows.append(found)
            self._count(1)
            if len(self._rows) == self.shard_size:
                self._flush()
        elif isinstance(found, Table):
            rows = self._count(found.rows)
            size = self.shard_size
            self.archives += [Shard("table", found.uri, i, min(i + size, rows)) for i in range(0, rows, size)]
        else:
            stop = None if self.left is None else self._count(_count_images(found.uri, self.left))
            self.archives.append(Shard("tar", found.uri, 0, stop))

    def close(self) -> bytes:
        """Return the listing."""
        self._flush()
        self._writer.close()
        return self._buffer.getvalue()

    def _count(self, images: int) -> int:
        """Return how many of these images are within the limit."""
        if self.left is not None:
            images = min(images, self.left)
            self.left -= images
        return images

    def _flush(self) -> None:
        if self._rows:
            columns = [[row.uri for row in self._rows], [row.size for row in self._rows]]
            self._writer.write_table(pa.table(columns, schema=LISTING_SCHEMA))
            self.files += len(self._rows)
            self._rows.clear()


def read_listing(table: Any, shard: Shard, shard_size: int) -> Iterator[ImageFile]:
    """Yield the image files of a shard from the opened listing."""
    rows = table.read_row_group(shard.start // shard_size)
    for uri, size in zip(rows["image"].to_pylist(), rows["bytes"].to_pylist(), strict=True):
        yield ImageFile(uri, size)


def _count_images(uri: str, limit: int) -> int:
    """Return the number of images in a tar file, at most `limit`."""
    with open_file(uri) as file:
        return sum(1 for _ in islice(tar_images(file), limit))
