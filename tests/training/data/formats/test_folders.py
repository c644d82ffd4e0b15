"""Files below a folder: links, loops, hidden and system files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.training.data.tiny_datasets import make_yolo
from training.data.formats.folders import IMAGE_SUFFIXES, find_files, is_hidden
from training.data.open import open_dataset
from training.data.validation.check import check_dataset


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_files(folder, IMAGE_SUFFIXES).files]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "set/a.jpg", "elsewhere/deep/b.jpg", "other/c.JPG")
    (tmp_path / "elsewhere/more").symlink_to(tmp_path / "other")
    (tmp_path / "set/batch2").symlink_to("../elsewhere", target_is_directory=True)
    assert names(tmp_path / "set") == ["a.jpg", "batch2/deep/b.jpg", "batch2/more/c.JPG"]


def test_a_folder_with_several_links_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "set/z/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "set/first").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/second").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/again").symlink_to(tmp_path / "set/z")
    assert names(tmp_path / "set") == ["first/b.jpg", "z/a.jpg"], "real folders come before links"


@pytest.mark.parametrize("target", ["..", ".", "../..", "loop", "/", "missing"])
def test_loops_and_broken_links_end(target: str, tmp_path: Path) -> None:
    touch(tmp_path, "set/train/a.jpg", "set/val/b.jpg")
    (tmp_path / "set/train/loop").symlink_to(target)
    assert names(tmp_path / "set/train") == ["a.jpg"]


def test_two_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.jpg", "two/b.jpg")
    (tmp_path / "one/two").symlink_to(tmp_path / "two")
    (tmp_path / "two/one").symlink_to(tmp_path / "one")
    assert names(tmp_path / "one") == ["a.jpg", "two/b.jpg"]


def test_links_to_files_are_files(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/b.jpg").symlink_to("../elsewhere/a.jpg")
    assert names(tmp_path / "set") == ["b.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "._a.jpg",
        ".ipynb_checkpoints/a-checkpoint.jpg",
        "@eaDir/a.jpg",
        "__MACOSX/a.jpg",
        ".Trash-1000/a.png",
        "#recycle/a.png",
        "$RECYCLE.BIN/a.png",
        "lost+found/a.png",
        ".thumbnails/deep/a.png",
        "~$a.jpg",
    ],
)
def test_hidden_and_system_files_are_skipped(name: str, tmp_path: Path) -> None:
    touch(tmp_path / ".data", "set/a.jpg", f"set/{name}", "set/Thumbs.db", "set/.DS_Store", "set/desktop.ini")
    folder = tmp_path / ".data/set"
    assert names(folder) == ["a.jpg"], "folders around the dataset may be hidden"
    [hidden] = find_files(folder, IMAGE_SUFFIXES).hidden
    assert is_hidden(hidden.name)


def test_linked_images_have_their_labels(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    for kind in ("images", "labels"):
        shutil.move(root / kind / "val", tmp_path / "elsewhere" / kind / "val")
    (root / "images/train/more").symlink_to(tmp_path / "elsewhere/images/val")
    (root / "images/val").symlink_to(tmp_path / "elsewhere/images/val")
    dataset = open_dataset(root)
    assert [len(record.boxes) for record in dataset.split("train").records] == [1, 1, 1, 2, 0]
    assert [len(record.boxes) for record in dataset.split("val").records] == [1, 1]
    assert {finding.kind for finding in check_dataset(root)} == {"leak"}


def test_labels_of_a_folder_without_images_are_reported(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "labels/train/batch2").mkdir()
    shutil.copy(root / "labels/train/train_0.txt", root / "labels/train/batch2/lost.txt")
    (root / "images/train/batch2").write_text("../../../elsewhere")  # some copies turn a link into such a file
    [finding] = check_dataset(root)
    assert finding.kind == "label-orphan"
    assert finding.path == root / "labels/train/batch2/lost.txt"


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG"])
def test_every_suffix_of_jpeg_is_read(suffix: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path)
    image = root / "images/train/train_0.jpg"
    image.rename(image.with_suffix(suffix))
    assert len(open_dataset(root).split("train").records) == 3


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".svg", "image-unreadable"), (".xyz", "label-orphan"), ("", "label-orphan")]
)
def test_images_of_other_formats_are_reported(suffix: str, kind: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path)
    image = root / "images/train/train_0.jpg"
    image.unlink()
    image.with_suffix(suffix).write_text("<svg/>")
    assert kind in {finding.kind for finding in check_dataset(root)}
