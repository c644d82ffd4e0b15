"""Images in folders, patterns, lists, Parquet files and tar files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_zoo.batch.sources import ImageFile, Table, Tar, find
from model_zoo.contract.errors import LineageError


def names(found: object) -> list[str]:
    return [Path(image.uri).name for image in found]  # type: ignore[attr-defined]


def write_table(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_folders_are_searched_in_a_stable_order(images: Path) -> None:
    os.symlink(images, images / "loop")
    found = list(find([str(images)], "image"))
    assert names(found) == [f"{i}.png" for i in range(10)]
    assert found[3] == ImageFile(str(images / "a/3.png"), 4)


def test_urls_name_images_in_stores(images: Path, memory: Any) -> None:
    memory.put(str(images), "/bucket/images", recursive=True)
    found = list(find(["memory://bucket/images"], "image"))
    assert names(found) == [f"{i}.png" for i in range(10)]
    assert found[0].uri == "memory:///bucket/images/a/0.png"


def test_patterns_select_images_and_archives(images: Path) -> None:
    (images / "x.tar").write_bytes(b"")
    assert names(find([f"{images}/**/[0-6].png"], "image")) == [f"{i}.png" for i in range(7)]
    assert list(find([f"{images}/*"], "image")) == [Tar(f"{images}/x.tar")]


def test_lists_name_an_image_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("\ufeffa.jpg\n\n /x/b c.png \ns3://bucket/d.jpg\n", encoding="utf-8")
    assert [image.uri for image in find(["list.txt"], "image")] == [
        str(tmp_path / "a.jpg"), "/x/b c.png", "s3://bucket/d.jpg"
    ]  # fmt: skip


def test_columns_have_bytes_or_paths(tmp_path: Path) -> None:
    plain = write_table(tmp_path / "a.parquet", image=[b"1", None])
    nested = write_table(tmp_path / "b.parquet", image=[{"bytes": b"1", "path": "x"}])
    paths = write_table(tmp_path / "c.parquet", image=["/x/a.jpg", "s3://b/c.jpg"])
    assert list(find([plain, nested, paths], "image")) == [
        Table(plain, 2), Table(nested, 1), ImageFile("/x/a.jpg"), ImageFile("s3://b/c.jpg")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"data": [b""], "id": [1]}, "no column 'image'; expected --column with one of data, id"),
        ({"image": [1]}, "column 'image' is int64; expected the bytes of image files, or their paths"),
        ({"image": ["a.jpg", None]}, "column 'image' has rows without a path"),
    ],
)
def test_unusable_columns_are_refused(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=message):
        list(find([write_table(tmp_path / "a.parquet", **columns)], "image"))


def test_sources_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"x" * 20)
    for source, message in {
        "missing": "no such file or folder; expected an image, a folder",
        "empty": "no images found; expected an image, a folder",
        "*.webp": "no images found",
        "broken.parquet": "cannot be read or written .*Parquet",
    }.items():
        with pytest.raises(LineageError, match=message):
            list(find([str(tmp_path / source)], "image"))
