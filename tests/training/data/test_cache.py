"""The cache is never stale, is rebuilt if corrupt, and is optional."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.training.data.tiny_datasets import (
    make_coco,
    make_voc,
    make_yolo,
    noise,
    replace_line,
    write_image,
    yolo_line,
)
from training.data import cache, image_info
from training.data.formats import coco, voc, yolo
from training.data.open import open_dataset
from training.data.validation.check import check_dataset
from training.data.validation.findings import InvalidDatasetError

MAKERS = (make_coco, make_yolo, make_voc)
Forbid = Callable[[], None]


@pytest.fixture(autouse=True)
def trust_new_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MIN_AGE", 0.0)


@pytest.fixture
def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> Forbid:
    """Make reading labels or images fail from the call on."""

    def fail(*arguments: object) -> object:
        raise AssertionError("read again")

    def forbid() -> None:
        for module in (coco, yolo, voc):
            monkeypatch.setattr(module, "parse", fail)
        monkeypatch.setattr(image_info, "_read_info", fail)
        monkeypatch.setattr(image_info, "_hash_image", fail)

    return forbid


def fingerprints(root: Path) -> list[str]:
    return [split.fingerprint for split in open_dataset(root).splits.values()]


def cache_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def overwrite_keeping_size_and_time(path: Path, write: Callable[[], object]) -> None:
    before = path.stat()
    write()
    data = path.read_bytes()
    assert len(data) <= before.st_size
    path.write_bytes(data + bytes(before.st_size - len(data)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("make", MAKERS)
def test_unchanged_files_are_not_read_again(
    make: Callable[[Path], Path], tmp_path: Path, forbid_reading: Forbid
) -> None:
    root = make(tmp_path / "set")
    assert check_dataset(root) == []
    before = fingerprints(root)
    forbid_reading()
    assert check_dataset(root) == []
    assert fingerprints(root) == before


def test_edited_labels_of_same_size_and_time_are_read_again(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    before = fingerprints(root)
    file = root / "labels/train/train_0.txt"
    overwrite_keeping_size_and_time(file, lambda: file.write_text(yolo_line(1, (8, 6, 40, 30))))
    assert open_dataset(root).split("train").records[0].class_ids.tolist() == [1]
    assert fingerprints(root) != before


def test_edited_images_of_same_size_and_time_are_read_again(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    before = fingerprints(root)
    file = root / "images/train_0.jpg"
    shutil.copy(root / "images/train_1.jpg", tmp_path / "other.jpg")
    with file.open("ab") as stream:
        stream.write(bytes(4000))  # padding, so that the other image fits
    padded = fingerprints(root)
    overwrite_keeping_size_and_time(file, lambda: shutil.copyfile(tmp_path / "other.jpg", file))
    assert len({*map(tuple, (before, padded, fingerprints(root)))}) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write_image(root / "images/train/new.jpg", noise(60)),
        lambda root: (root / "images/train/train_2.jpg").rename(root / "images/train/train_9.jpg"),
        lambda root: (root / "labels/train/train_2.txt").write_text(yolo_line(0, (0, 0, 9, 9))),
        lambda root: (root / "data.yaml").write_text("train: images/val\nval: images/train\nnames: [ant, bee]\n"),
        lambda root: (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [bee, ant]\n"),
        lambda root: (root / "images/train/train_0.jpg").unlink(),
    ],
    ids=["image added", "image renamed", "labels added", "splits swapped", "classes swapped", "image deleted"],
)
def test_changes_invalidate_the_cache(change: Callable[[Path], object], tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")

    def content() -> list[object]:
        dataset = open_dataset(root)
        return [
            (dataset.class_names, name, record.path, record.class_ids.tolist())
            for name, split in dataset.splits.items()
            for record in split.records
        ]

    before = content()
    change(root)
    assert content() != before


def test_moved_images_are_found(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    before = fingerprints(root)
    for split in ("train", "val"):
        (root / split).mkdir()
        for path in root.glob(f"images/{split}_*"):
            path.rename(root / split / path.name)
    assert fingerprints(root) == before


def test_new_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MIN_AGE", 3600.0)
    root = make_coco(tmp_path / "set")
    open_dataset(root)
    read: list[Path] = []
    read_info = image_info._read_info
    monkeypatch.setattr(image_info, "_read_info", lambda path: read.append(path) or read_info(path))
    open_dataset(root)
    assert len(read) == 5


def test_findings_are_reported_every_time(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    replace_line(root / "labels/train/train_0.txt", 1, "0 1 2")
    for _ in range(2):
        with pytest.raises(InvalidDatasetError, match=r"train_0\.txt:1: expected class cx"):
            open_dataset(root)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"garbage"])
@pytest.mark.parametrize("make", MAKERS)
def test_corrupt_cache_is_rebuilt_with_a_warning(
    make: Callable[[Path], Path],
    damage: Callable[[bytes], bytes],
    tmp_path: Path,
    cache_folder: Path,
    caplog: pytest.LogCaptureFixture,
    forbid_reading: Forbid,
) -> None:
    root = make(tmp_path / "set")
    check_dataset(root)
    before = fingerprints(root)
    files = list(cache_files(cache_folder))
    assert {path.name for path in files} == {
        "image_info.json",
        "image_hashes.json",
        "labels-train.npz",
        "labels-val.npz",
    }
    for path in files:
        path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert check_dataset(root) == []
    assert len([message for message in caplog.messages if "cache is corrupt and will be rebuilt" in message]) >= 4
    forbid_reading()
    assert fingerprints(root) == before


def test_new_reader_version_invalidates_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbid_reading: Forbid
) -> None:
    root = make_coco(tmp_path / "set")
    open_dataset(root)
    forbid_reading()
    monkeypatch.setattr(cache, "VERSION", "another")
    with pytest.raises(AssertionError, match="read again"):
        open_dataset(root)


def test_unwritable_cache_is_skipped_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "file" / "cache"))
    assert check_dataset(make_coco(tmp_path / "set")) == []
    assert any("cannot write the cache" in message for message in caplog.messages)


def test_results_are_stored_if_reading_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_coco(tmp_path / "set")
    read_info, read = image_info._read_info, list[Path]()

    def stop_at_the_second(path: Path) -> image_info.ImageInfo:
        read.append(path)
        if path.name == "train_1.jpg":
            raise KeyboardInterrupt
        return read_info(path)

    monkeypatch.setattr(image_info, "_read_info", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        open_dataset(root)
    read.clear()
    monkeypatch.setattr(image_info, "_read_info", lambda path: read.append(path) or read_info(path))
    open_dataset(root)
    assert "train_0.jpg" not in {path.name for path in read}


def test_datasets_have_separate_caches(tmp_path: Path) -> None:
    first, second = make_coco(tmp_path / "a"), make_yolo(tmp_path / "b")
    assert cache.dataset_folder(first) != cache.dataset_folder(second)
    assert cache.dataset_folder(first) == cache.dataset_folder(Path(os.path.relpath(first)))
