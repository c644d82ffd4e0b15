"""Read the images of a shard."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from typing import Any

import pyarrow as pa

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import LISTING, Manifest, Shard
from model_zoo.batch.plan import read_listing
from model_zoo.batch.sources import open_parquet, tar_images
from model_zoo.batch.stores import open_file, read_image
from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import DEFAULT_LIMITS, check_length

ROWS = 16  # of a table in memory at a time


@dataclass(frozen=True)
class Item:
    """An image to process."""

    name: str
    """Path or URL, `file#row` in a Parquet file or `file#member` in a WebDataset shard."""
    read: Callable[[], bytes]
    """Return the contents of the file, or raise ImageError."""


def read_items(folder: Folder, manifest: Manifest, shard: Shard) -> Iterator[Item]:
    """Yield the images of a shard, in order. Image files are read when `read` is called, by any thread.

    Raises:
        LineageError: A table or a store cannot be read.
    """
    if shard.kind == "table":
        return _table_items(shard, manifest.options.column)
    if shard.kind == "tar":
        return _tar_items(shard)
    return _file_items(folder, manifest, shard)


def _file_items(folder: Folder, manifest: Manifest, shard: Shard) -> Iterator[Item]:
    with folder.open(LISTING) as listing:
        files = list(read_listing(open_parquet(listing), shard, manifest.options.shard_size))
    for file in files:
        yield Item(file.uri, partial(read_image, file.uri, file.size))


def _table_items(shard: Shard, column: str) -> Iterator[Item]:
    """Yield rows of a table. Row groups before the shard are skipped, rows before it are read."""
    assert shard.stop is not None
    with open_file(shard.uri) as file:
        table = open_parquet(file)
        sizes = [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)]
        row, groups = _row_groups(sizes, shard)
        for batch in table.iter_batches(batch_size=ROWS, row_groups=groups, columns=[column]):
            for value in _bytes(batch.column(0)):
                if shard.start <= row < shard.stop:
                    yield Item(f"{shard.uri}#{row}", partial(_contents, value))
                row += 1
            if row >= shard.stop:
                return


def _row_groups(sizes: list[int], shard: Shard) -> tuple[int, list[int]]:
    """Return the first row of the first row group that the shard needs, and the row groups."""
    starts = list(accumulate(sizes, initial=0))
    groups = [i for i, n in enumerate(sizes) if starts[i] < (shard.stop or 0) and starts[i] + n > shard.start]
    return starts[groups[0]], groups


def _bytes(column: Any) -> Iterator[bytes | None]:
    if pa.types.is_struct(column.type):
        column = column.field("bytes")
    for value in column:
        yield value.as_py()


def _contents(value: bytes | None) -> bytes:
    if value is None:
        raise ImageError("the row has no bytes; expected the contents of an image file")
    check_length(len(value))
    return value


def _tar_items(shard: Shard) -> Iterator[Item]:
    """Yield members of a tar file. Damage of the file ends it with an item that raises ImageError."""
    done = 0
    with open_file(shard.uri) as file:
        try:
            for archive, member in islice(tar_images(file), shard.stop):
                yield Item(f"{shard.uri}#{member.name}", partial(_member, member.size, _read(archive, member)))
                done += 1
        except (tarfile.TarError, EOFError) as error:
            yield Item(shard.uri, partial(_raise, f"the tar file is damaged after {done} images ({error})"))


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return a member of a stream, which is gone when the next one is read. One over the limit is cut."""
    stream = archive.extractfile(member)
    return stream.read(DEFAULT_LIMITS.max_bytes + 1) if stream else b""


def _member(size: int, data: bytes) -> bytes:
    check_length(size)
    return data


def _raise(reason: str) -> bytes:
    raise ImageError(reason)
