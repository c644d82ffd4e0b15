"""Shards: deterministic, within the limit."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import LISTING, Options, Shard
from model_zoo.batch.plan import plan, read_listing

MakeOptions = Callable[..., Options]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "out"))


@pytest.fixture
def archives(tmp_path: Path) -> tuple[str, str]:
    """Return a Parquet file and a tar file with 6 images each."""
    pq.write_table(pa.table({"image": [b"x"] * 6}), tmp_path / "a.parquet")
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for i in range(6):
            archive.addfile(tarfile.TarInfo(f"{i}.jpg"), io.BytesIO())
            archive.addfile(tarfile.TarInfo(f"{i}.json"), io.BytesIO())
    return str(tmp_path / "a.parquet"), str(tmp_path / "b.tar")


def test_every_source_is_cut_into_shards(
    folder: Folder, images: Path, archives: tuple[str, str], make_options: MakeOptions
) -> None:
    table, tar = archives
    shards = plan(folder, make_options(table, images, tar))
    assert shards == (
        Shard("files", "", 0, 4), Shard("files", "", 4, 8), Shard("files", "", 8, 10),
        Shard("table", table, 0, 4), Shard("table", table, 4, 6), Shard("tar", tar, 0, None),
    )  # fmt: skip
    with folder.open(LISTING) as file:
        listing = pq.ParquetFile(file)
        listed = [Path(image.uri).name for shard in shards[:3] for image in read_listing(listing, shard, 4)]
    assert listed == [f"{i}.png" for i in range(10)]
    assert plan(folder, make_options(table, images, tar)) == shards


@pytest.mark.parametrize(
    ("limit", "counts"),
    [(3, [3]), (10, [4, 4, 2]), (13, [4, 4, 2, 3]), (19, [4, 4, 2, 4, 2, 3]), (99, [4, 4, 2, 4, 2, 6])],
)
def test_limit_counts_images_of_all_sources(
    limit: int, counts: list[int], folder: Folder, images: Path, archives: tuple[str, str], make_options: MakeOptions
) -> None:
    shards = plan(folder, make_options(images, *archives, limit=limit))
    assert [shard.images for shard in shards] == counts
