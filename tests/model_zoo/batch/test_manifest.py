"""The manifest: written, read and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import Manifest, Shard, check_same, read_manifest
from model_zoo.contract.errors import LineageError

MakeManifest = Callable[..., Manifest]


def test_manifest_is_read_as_written(make_manifest: MakeManifest, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "out"))
    assert read_manifest(folder) is None
    manifest = make_manifest(Shard("files", "", 0, 4), Shard("tar", "/a.tar", 0, None), classes=(0, 2))
    manifest.write(folder)
    assert read_manifest(folder) == manifest
    assert manifest.options.query.class_ids == {0, 2}
    assert manifest.images is None
    assert replace(manifest, shards=manifest.shards[:1]).images == 4


def test_names_sort_as_shards(make_manifest: MakeManifest) -> None:
    assert make_manifest().part_name(42) == "part-00042.parquet"
    assert make_manifest(format="coco").part_name(42) == "part-00042.json"


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("{", "manifest.json: expected a JSON document; .*; choose another --output"),
        ('{"schema_version": 2}', "expected schema_version 1; got 2"),
        ('{"schema_version": 1}', "options: expected an object; the field is missing"),
    ],
)
def test_damaged_manifests_are_refused(contents: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(contents)
    with pytest.raises(LineageError, match=message):
        read_manifest(Folder(str(tmp_path)))


def test_folders_of_other_programs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_bytes(b"")
    with pytest.raises(LineageError, match=r"expected a new folder, or one of an earlier run; it has thesis\.doc"):
        read_manifest(Folder(str(tmp_path)))


def test_other_options_are_refused(make_manifest: MakeManifest, tmp_path: Path) -> None:
    started = make_manifest().options
    check_same(Folder(str(tmp_path)), started, started)
    for name, value in {"score": 0.5, "sources": ("/x",), "model_sha256": "0", "limit": 3}.items():
        with pytest.raises(LineageError, match=f"was started with {name} .*; got {value if name == 'score' else ''}"):
            check_same(Folder(str(tmp_path)), started, replace(started, **{name: value}))
