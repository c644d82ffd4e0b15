"""Read files of torch.save without torch: the zip archive and the older plain stream.

with open_torch_file(path) as file:
    file.tree                  # plain values, `Stub`s for modules, `TensorView`s for tensors
    file.array(view)           # NumPy array, read on demand
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_kind import TORCH, describe, kind_of
from model_zoo.weights import safe_pickle
from model_zoo.weights.pickle_values import Global, Storage, TensorView

MAX_PICKLE_BYTES = 64 << 20  # the largest official checkpoint has about 1 MB
MAX_ENTRIES = 100_000
LEGACY_PREFIX = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e8002 4de9032e")  # two pickles: magic number, version 1001

_DTYPES = {
    **{"DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "<u2"},
    **{"LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1"},
    **{"ByteStorage": "<u1", "BoolStorage": "|b1"},
}


@dataclass(frozen=True)
class TorchFile:
    """An open file of torch.save."""

    tree: object
    """The saved object."""
    read_storage: Callable[[Storage], bytes]
    """Reader of a storage's bytes."""

    def array(self, view: TensorView) -> NDArray[np.generic]:
        """Read a tensor. bfloat16 becomes float32, all other types are kept.

        Raises:
            LineageError: The tensor exceeds its storage, or the storage is missing or damaged.
        """
        storage = view.storage
        numbers = np.frombuffer(self.read_storage(storage), dtype=_DTYPES[storage.kind])
        steps = zip(view.shape, view.strides, strict=True)
        last = view.offset + sum((size - 1) * stride for size, stride in steps)
        count = int(np.prod([int(size) for size in view.shape], dtype=object))
        if count > len(numbers) or (count and last >= len(numbers)):
            raise LineageError(
                f"expected a tensor within its storage; got shape {view.shape} in {len(numbers)} numbers"
            )
        byte_strides = [stride * numbers.itemsize for stride in view.strides]
        array = np.lib.stride_tricks.as_strided(numbers[view.offset :], view.shape, byte_strides, writeable=False)
        return _widened(array) if storage.kind == "BFloat16Storage" else array


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open a file of torch.save. The tree is read at once, tensors on demand.

    Raises:
        LineageError: The file is of another kind, is damaged, or claims more data than it has.
    """
    with path.open("rb") as file:
        head = file.read(len(LEGACY_PREFIX))
        file.seek(0)
        try:
            if head.startswith(b"PK\x03\x04") and kind_of(path) == TORCH:
                yield _open_zip(file)
            elif head.startswith(LEGACY_PREFIX):
                yield _open_legacy(file)
            else:
                raise LineageError(f"expected a checkpoint written by torch.save; got {describe(path)}")
        except LineageError as error:
            raise LineageError(f"{path.name}: {error}") from error


# --- zip archive, torch 1.6 and later ------------------------------------------------------------------------------


def _open_zip(file: BinaryIO) -> TorchFile:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise LineageError(f"expected a complete file; it is damaged ({error}). Download it again") from error
    entries = _checked_entries(archive, file.seek(0, io.SEEK_END))
    root = _root(entries)
    if _read_entry(archive, entries.get(f"{root}/byteorder"), default=b"little").strip() != b"little":
        raise LineageError(
            "expected a checkpoint of a little-endian machine; got a big-endian one. Save it again on another machine"
        )

    def read_storage(storage: Storage) -> bytes:
        data = _read_entry(archive, entries.get(f"{root}/data/{storage.key}"))
        return _check_size(storage, data)

    pickle = _read_entry(archive, entries[f"{root}/data.pkl"], limit=MAX_PICKLE_BYTES)
    return TorchFile(safe_pickle.read(io.BytesIO(pickle), _storage), read_storage)


def _checked_entries(archive: zipfile.ZipFile, file_size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name. torch does not compress them, so together they are no larger than the file."""
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos) or len(infos) > MAX_ENTRIES:
        raise LineageError("expected a checkpoint; the archive has duplicate or too many entries; refused")
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise LineageError(
            "expected a checkpoint; the archive is compressed or encrypted, unlike those of torch; refused"
        )
    if sum(info.file_size for info in infos) > file_size:
        raise LineageError("expected a complete checkpoint; the archive claims more bytes than the file has; refused")
    return entries


def _root(entries: dict[str, zipfile.ZipInfo]) -> str:
    roots = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise LineageError(f"expected one checkpoint in the archive; got {len(roots)}")
    return roots[0]


def _read_entry(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo | None, *, default: bytes | None = None, limit: int | None = None
) -> bytes:
    if info is None and default is not None:
        return default
    if info is None:
        raise LineageError("expected a complete checkpoint; the data of a tensor is missing")
    if limit is not None and info.file_size > limit:
        raise LineageError(f"expected a checkpoint; its pickle has {info.file_size} bytes, more than {limit}; refused")
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, struct.error) as error:
        raise LineageError(f"expected a complete file; it is damaged ({error}). Download it again") from error


# --- plain stream, torch before 1.6 --------------------------------------------------------------------------------


def _open_legacy(file: BinaryIO) -> TorchFile:
    """Read magic number, version, system info, tree and storage keys. Each storage's length and numbers follow."""
    storages: dict[str, Storage] = {}

    def persistent(pid: object) -> object:
        match pid:
            case ("module", Global() as kind, _, _):  # a class and its source text
                return kind
        storage = _storage(pid)
        return storages.setdefault(storage.key, storage)

    pickles = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    pickles.seek(len(LEGACY_PREFIX))
    safe_pickle.read(pickles)
    tree = safe_pickle.read(pickles, persistent)
    keys = safe_pickle.read(pickles)
    offsets = _legacy_offsets(file, pickles.tell(), keys, storages)

    def read_storage(storage: Storage) -> bytes:
        if storage.key not in offsets:
            raise LineageError("expected a complete checkpoint; the data of a tensor is missing")
        file.seek(offsets[storage.key])
        return _check_size(storage, file.read(_byte_count(storage)))

    return TorchFile(tree, read_storage)


def _legacy_offsets(file: BinaryIO, start: int, keys: object, storages: dict[str, Storage]) -> dict[str, int]:
    """Return the file offset of each storage's numbers."""
    offsets = {}
    for key in keys if isinstance(keys, list) else []:
        if key not in storages:
            raise LineageError("expected a complete checkpoint; its list of storages does not match its tensors")
        file.seek(start)
        if file.read(8) != struct.pack("<q", storages[key].length):
            raise LineageError("expected a complete checkpoint; a storage does not have its declared length")
        offsets[key] = start + 8
        start += 8 + _byte_count(storages[key])
    return offsets


# --- storages ------------------------------------------------------------------------------------------------------


def _storage(pid: object) -> Storage:
    """Convert a persistent id ("storage", type, key, device, length[, view]) to a storage."""
    match pid:
        case ("storage", Global(path), str(key), str(), int(length), *rest) if rest in ([], [None]):
            kind = path.removeprefix("torch.")
            if kind in _DTYPES and re.fullmatch(r"[0-9]{1,20}", key) and length >= 0:
                return Storage(kind, key, length)
    raise LineageError("expected a checkpoint; its pickle refers to an unknown kind of data; refused")


def _byte_count(storage: Storage) -> int:
    return storage.length * np.dtype(_DTYPES[storage.kind]).itemsize


def _check_size(storage: Storage, data: bytes) -> bytes:
    if len(data) != _byte_count(storage):
        raise LineageError(f"expected a storage of {_byte_count(storage)} bytes; got {len(data)}; refused")
    return data


def _widened(array: NDArray[np.generic]) -> NDArray[np.float32]:
    """Convert bfloat16, the upper half of a float32, to float32."""
    return (array.astype(np.uint32) << 16).view(np.float32)
