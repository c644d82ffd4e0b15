"""Files of torch.save are read. Damaged ones and those that claim more data than they have are refused."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.weights.pickle_values import TensorView
from model_zoo.weights.torch_file import MAX_PICKLE_BYTES, open_torch_file

PROTO = b"\x80\x02"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def storage(kind: str = "FloatStorage", key: str = "0", length: int = 4, module: str = "torch") -> bytes:
    """Return a persistent id. `length` must be less than 256."""
    return (
        b"(" + text("storage") + f"c{module}\n{kind}\n".encode() + text(key) + text("cpu") + bytes([75, length]) + b"tQ"
    )


def tensor(stored: bytes, offset: int = 0, shape: bytes = b"K\x04\x85", strides: bytes = b"K\x01\x85") -> bytes:
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    return PROTO + rebuild + b"(" + stored + bytes([75, offset]) + shape + strides + b"\x89NtR."


def archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "weights.pt"


def read_array(path: Path) -> np.ndarray:
    with open_torch_file(path) as file:
        assert isinstance(file.tree, TensorView)
        return np.array(file.array(file.tree))


def saved(path: Path, content: object, **how: bool) -> bytes:
    torch.save(content, path, **how)
    return path.read_bytes()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_dtype_is_read(path, dtype, zipped):
    value = torch.arange(12).view(3, 4).to(getattr(torch, dtype)).t()
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    array = read_array(path)
    assert str(array.dtype) == dtype
    np.testing.assert_array_equal(array, value.numpy())


def test_bfloat16_becomes_float32(path):
    value = torch.tensor([1.0, -2.5, 3e38]).bfloat16()
    torch.save(value, path)
    np.testing.assert_array_equal(read_array(path), value.float().numpy())


def test_scalars_and_empty_tensors(path):
    torch.save(torch.tensor(7.0), path)
    assert read_array(path).shape == ()
    torch.save(torch.zeros(0, 3), path)
    assert read_array(path).shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"\n <!DOCTYPE html><title>Not found</title>", "a web page"),
        (b'{"message": "rate limit"}', "a JSON document, probably an error message"),
        (b"\x80\x04N.", "another pickle"),
        (b"GIF89a....", "a GIF image"),
        (b"PK\x03\x04 and then nothing", "a damaged zip archive"),
    ],
)
def test_other_files_are_named_in_the_error(path, content, message):
    path.write_bytes(content)
    with pytest.raises(LineageError, match=rf"^weights\.pt: .*{message}"), open_torch_file(path):
        pass


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_file_is_refused(path, zipped):
    contents = saved(path, torch.arange(100), _use_new_zipfile_serialization=zipped)
    for length in range(1, len(contents), 37):
        path.write_bytes(contents[:length])
        with pytest.raises(LineageError):
            read_array(path)


def test_flipped_bit_is_detected(path):
    contents = bytearray(saved(path, torch.zeros(1000)))
    contents[contents.index(bytes(500)) + 100] ^= 1
    path.write_bytes(contents)
    with pytest.raises(LineageError, match="damaged"):
        read_array(path)


@pytest.mark.parametrize(
    "pickle",
    [
        tensor(storage(length=5)),
        tensor(storage(key="1")),
        tensor(storage(key="../0")),
        tensor(storage(kind="ObjectStorage")),
        tensor(storage(module="os")),
        tensor(b"(" + text("module") + b"cos\nsystem\n" + text("x") + text("y") + b"tQ"),
        tensor(text("0") + b"Q"),
        tensor(storage(), offset=1),
        tensor(storage(), shape=b"K\x05\x85"),
        tensor(storage(), strides=b"K\x02\x85"),
        tensor(storage(), shape=b"J\xff\xff\xff\x7f\x85", strides=b"K\x00\x85"),
        tensor(storage(), shape=b"J\xff\xff\xff\xff\x85"),
        tensor(storage(), shape=b"K\x02K\x02\x86"),
        tensor(storage(), shape=text("4") + b"\x85"),
    ],
)
def test_tensors_outside_their_storage_are_refused(path, pickle):
    archive(path, {"archive/data.pkl": pickle, "archive/data/0": bytes(16)})
    with pytest.raises(LineageError, match="expected"):
        read_array(path)


def test_valid_archive_is_read(path):
    archive(path, {"archive/data.pkl": tensor(storage()), "archive/data/0": bytes(16)})
    assert read_array(path).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"archive/notes.txt": b"x"}, "a zip archive with archive/notes.txt"),
        ({"a/data.pkl": PROTO + b"N.", "b/data.pkl": PROTO + b"N."}, "expected one checkpoint in the archive; got 2"),
        ({"a/data.pkl": PROTO + b"N.", "a/code/m.py": b"pass"}, "TorchScript"),
        ({"a/data.pkl": PROTO + b"N.", "a/byteorder": b"big"}, "little-endian"),
        ({"a/data.pkl": b"not a pickle"}, "damaged"),
    ],
)
def test_other_archives_are_refused(path, entries, message):
    archive(path, entries)
    with pytest.raises(LineageError, match=message), open_torch_file(path):
        pass


def test_compressed_archives_are_refused(path):
    archive(path, {"a/data.pkl": PROTO + b"N.", "a/data/0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(LineageError, match="compressed"), open_torch_file(path):
        pass


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # the error under test
def test_duplicate_entries_are_refused(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", PROTO + b"N.")
        file.writestr("a/data.pkl", PROTO + b"cos\nsystem\n.")
    with pytest.raises(LineageError, match="duplicate or too many entries"), open_torch_file(path):
        pass


def test_overlapping_entries_are_refused(path):
    """The directory lists the same million bytes many times, so it claims more than the file has."""
    blob, directory, count = bytes(1_000_000), io.BytesIO(), 50
    names = [b"a/data.pkl", *(b"a/data/%d" % i for i in range(count - 1))]
    with path.open("wb") as file:
        file.write(struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, len(blob), len(blob), 10, 0))
        file.write(names[0] + blob)
        for name in names:
            sizes = (0, len(blob), len(blob), len(name), 0, 0, 0, 0, 0, 0)
            directory.write(struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, *sizes) + name)
        start, listing = file.tell(), directory.getvalue()
        file.write(listing + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(listing), start, 0))
    with pytest.raises(LineageError, match="claims more bytes"), open_torch_file(path):
        pass


def test_huge_pickle_is_refused(path):
    archive(path, {"a/data.pkl": bytes(MAX_PICKLE_BYTES + 1)})
    with pytest.raises(LineageError, match="its pickle has 67108865 bytes"), open_torch_file(path):
        pass
