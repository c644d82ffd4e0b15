"""Find the images of sources: files, folders, patterns, lists, Parquet files and WebDataset shards."""

from __future__ import annotations

import glob
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from model_zoo.batch.stores import absolute, is_local, open_file, open_store, store_errors
from model_zoo.contract.errors import LineageError
from model_zoo.contract.images.files import IMAGE_SUFFIXES

LIST_SUFFIXES: Final = (".txt", ".lst")
PARQUET_SUFFIXES: Final = (".parquet", ".pq")
TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
EXPECTED: Final = (
    "expected an image, a folder of images, a pattern, a list of images (.txt), a Parquet file or a WebDataset shard "
    "(.tar)"
)


@dataclass(frozen=True)
class ImageFile:
    """An image in a file of its own."""

    uri: str
    """Absolute path or URL."""
    size: int | None = None
    """Size in bytes, if the listing has it."""


@dataclass(frozen=True)
class Table:
    """A Parquet file with images in a column."""

    uri: str
    """Absolute path or URL."""
    rows: int
    """Number of rows."""


@dataclass(frozen=True)
class Tar:
    """A WebDataset shard."""

    uri: str
    """Absolute path or URL."""


Found = ImageFile | Table | Tar


def find(sources: Iterable[str], column: str) -> Iterator[Found]:
    """Yield the images of sources, in a stable order: sources as given, names of a folder sorted.

    Args:
        sources: Paths and URLs.
        column: Column of Parquet files with the bytes or the paths of images.

    Raises:
        LineageError: A source does not exist, has no images or cannot be read.
    """
    for source in sources:
        is_empty = True
        for found in _expand(absolute(source), column):
            is_empty = False
            yield found
        if is_empty:
            raise LineageError(f"{source}: no images found; {EXPECTED}")


def _expand(source: str, column: str) -> Iterator[Found]:
    store, path = open_store(source)
    entry = _info(store, path, source)
    if entry is None and glob.has_magic(source):
        yield from _matches(store, path, source, column)
    elif entry is None:
        raise LineageError(f"{source}: no such file or folder; {EXPECTED}")
    elif entry["type"] == "directory":
        yield from _images_below(store, path, source)
    else:
        yield from _open(source, entry.get("size"), column)


def _info(store: Any, path: str, source: str) -> Mapping[str, Any] | None:
    """Return what a store knows about a file or folder, or None if there is none."""
    try:
        with store_errors(source):
            return dict(store.info(path))
    except LineageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _open(uri: str, size: int | None, column: str) -> Iterator[Found]:
    """Yield the images of one file, by its suffix."""
    name = uri.lower()
    if name.endswith(LIST_SUFFIXES):
        yield from _list(uri)
    elif name.endswith(PARQUET_SUFFIXES):
        yield from _table(uri, column)
    elif name.endswith(TAR_SUFFIXES):
        yield Tar(uri)
    else:
        yield ImageFile(uri, size)


def _matches(store: Any, path: str, source: str, column: str) -> Iterator[Found]:
    """Yield what a pattern matches, without lists: they are often notes."""
    with store_errors(source):
        matches: Mapping[str, Any] = store.glob(path, detail=True)
    for name, entry in sorted(matches.items()):
        wanted = name.lower().endswith((*IMAGE_SUFFIXES, *PARQUET_SUFFIXES, *TAR_SUFFIXES))
        if wanted and entry["type"] == "file":
            yield from _open(_uri(store, name, source), entry.get("size"), column)


def _images_below(store: Any, folder: str, source: str) -> Iterator[ImageFile]:
    """Yield the images in a folder and all below, without following links to folders.

    One folder is in memory at a time.
    """
    with store_errors(source):
        entries: Sequence[Mapping[str, Any]] = store.ls(folder, detail=True)
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        name = str(entry["name"])
        if entry["type"] == "directory" and not entry.get("islink") and name.rstrip("/") != folder.rstrip("/"):
            yield from _images_below(store, name, source)
        elif entry["type"] == "file" and name.lower().endswith(IMAGE_SUFFIXES):
            yield ImageFile(_uri(store, name, source), entry.get("size"))


def _list(uri: str) -> Iterator[ImageFile]:
    """Yield the images of a list: a path or URL per line, relative ones from the current folder."""
    with open_file(uri) as file:
        for line in file:
            if name := line.decode("utf-8-sig").strip():
                yield ImageFile(absolute(name))


def _table(uri: str, column: str) -> Iterator[Found]:
    """Yield the table if the column has the bytes of images, or the images if it has their paths."""
    with open_file(uri) as file:
        table = open_parquet(file)
        if is_bytes(_column_type(table, uri, column)):
            yield Table(uri, table.metadata.num_rows)
            return
        for batch in table.iter_batches(columns=[column]):
            for path in batch.column(0).to_pylist():
                if not path:
                    raise LineageError(f"{uri}: column {column!r} has rows without a path; remove them")
                yield ImageFile(absolute(path))


def open_parquet(file: IO[bytes]) -> Any:
    """Open a Parquet file. Columns are streamed, not read in one piece."""
    return pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)


def is_bytes(kind: Any) -> bool:
    """Return True for a column of bytes, also in the form `{bytes, path}` of Hugging Face."""
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _column_type(table: Any, uri: str, column: str) -> Any:
    """Return the type of the column.

    Raises:
        LineageError: There is no such column, or it has another type.
    """
    schema = table.schema_arrow
    if column not in schema.names:
        raise LineageError(f"{uri}: no column {column!r}; expected --column with one of {', '.join(schema.names)}")
    kind = schema.field(column).type
    if not (is_bytes(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise LineageError(
            f"{uri}: column {column!r} is {kind}; expected the bytes of image files, or their paths as strings"
        )
    return kind


def tar_images(file: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the images in a tar file, compressed or not, while it streams by."""
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep all that passed
            if member.isfile() and member.name.lower().endswith(IMAGE_SUFFIXES):
                yield archive, member


def _uri(store: Any, name: str, source: str) -> str:
    return name if is_local(source) else str(store.unstrip_protocol(name))
