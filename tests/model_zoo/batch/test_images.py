"""Images of tables and tar files, and their faults."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_zoo.batch.folder import Folder
from model_zoo.batch.images import read_items
from model_zoo.batch.manifest import Manifest, Shard
from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import DEFAULT_LIMITS

MakeManifest = Callable[..., Manifest]


def read(shard: Shard, make_manifest: MakeManifest) -> list[tuple[str, bytes | str]]:
    """Return names with contents, or with the message of the error."""
    manifest = make_manifest(shard)
    found: list[tuple[str, bytes | str]] = []
    for item in read_items(Folder("memory://unused"), manifest, shard):
        try:
            found.append((item.name.rpartition("/")[2], item.read()))
        except ImageError as error:
            found.append((item.name.rpartition("/")[2], str(error)))
    return found


@pytest.mark.parametrize("nested", [False, True], ids=["bytes", "struct"])
def test_rows_of_a_table_are_read_across_row_groups(nested: bool, tmp_path: Path, make_manifest: MakeManifest) -> None:
    values = [b"%d" % i for i in range(50)]
    column = [{"bytes": value, "path": ""} for value in values] if nested else values
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet", row_group_size=20)
    found = read(Shard("table", str(tmp_path / "a.parquet"), 18, 41), make_manifest)
    assert found == [(f"a.parquet#{i}", b"%d" % i) for i in range(18, 41)]


def test_rows_without_bytes_are_faults(tmp_path: Path, make_manifest: MakeManifest) -> None:
    pq.write_table(pa.table({"image": [None, b"1"]}), tmp_path / "a.parquet")
    [(_, reason), (_, data)] = read(Shard("table", str(tmp_path / "a.parquet"), 0, 2), make_manifest)
    assert (reason, data) == ("the row has no bytes; expected the contents of an image file", b"1")


def write_tar(path: Path, *members: tuple[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_images_of_a_tar_file_are_streamed(mode: str, tmp_path: Path, make_manifest: MakeManifest) -> None:
    path = write_tar(tmp_path / "a.tar", ("x.jpg", b"1"), ("x.json", b"{}"), ("y.PNG", b"2"), mode=mode)
    assert read(Shard("tar", str(path), 0, None), make_manifest) == [("a.tar#x.jpg", b"1"), ("a.tar#y.PNG", b"2")]
    assert read(Shard("tar", str(path), 0, 1), make_manifest) == [("a.tar#x.jpg", b"1")]


def test_damaged_tar_files_are_faults_after_their_images(tmp_path: Path, make_manifest: MakeManifest) -> None:
    path = write_tar(tmp_path / "a.tar", ("x.jpg", b"1"), ("y.jpg", b"2" * 3000))
    path.write_bytes(path.read_bytes()[:2000])
    [first, (name, reason)] = read(Shard("tar", str(path), 0, None), make_manifest)
    assert first == ("a.tar#x.jpg", b"1")
    assert name == "a.tar"
    assert str(reason).startswith("the tar file is damaged after 1 images (unexpected end of data)")


def test_large_members_are_faults(tmp_path: Path, make_manifest: MakeManifest) -> None:
    path = write_tar(tmp_path / "a.tar", ("x.jpg", bytes(DEFAULT_LIMITS.max_bytes + 9)), ("y.jpg", b"2"))
    [(_, reason), (_, data)] = read(Shard("tar", str(path), 0, None), make_manifest)
    assert "expected at most 20,971,520 bytes; got 20,971,529" in str(reason)
    assert data == b"2"
