"""YOLO labels without YAML: Darknet's lists, and class lists beside folders of images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from tests.training.data.tiny_datasets import make_yolo
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.data.validation.check import check_dataset


def make_flat(root: Path) -> Path:
    """Write `train` and `val` with images and text files side by side, without a description."""
    make_yolo(root)
    for split in ("train", "val"):
        shutil.move(root / "images" / split, root / split)
        for file in (root / "labels" / split).iterdir():
            shutil.move(file, root / split / file.name)
    for name in ("images/data.yaml", "data.yaml"):
        (root / name).unlink(missing_ok=True)
    shutil.rmtree(root / "images")
    shutil.rmtree(root / "labels")
    return root


def make_darknet(root: Path, prefix: str = "data/", slash: str = "/") -> Path:
    """Write `obj.data`, `obj.names` and lists, as CVAT does."""
    make_flat(root)
    for split in ("train", "val"):
        images = sorted((root / split).glob("*.jpg"))
        lines = [f"{prefix}{split}/{image.name}".replace("/", slash) for image in images]
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    lists = f"train = {prefix}train.txt\nvalid = {prefix}val.txt\n".replace("/", slash)
    (root / "obj.data").write_text(f"classes = 2\n{lists}# a comment\nnames={prefix}obj.names\nbackup = backup/\n")
    (root / "obj.names").write_text("ant\nbee\n")
    return root


def boxes(dataset: Dataset) -> dict[str, list[int]]:
    return {purpose: [len(r.boxes) for r in dataset.split(purpose).records] for purpose in ("train", "val")}


@pytest.mark.parametrize(
    ("prefix", "slash"),
    [
        ("data/", "/"),
        ("", "/"),
        ("./", "/"),
        ("build/darknet/x64/data/", "/"),
        ("/home/me/set/", "/"),
        ("C:/set/", "\\"),
    ],
)
def test_lists_are_found_by_the_ends_of_their_paths(prefix: str, slash: str, tmp_path: Path) -> None:
    root = make_darknet(tmp_path / "set", prefix, slash)
    for path in (root, root / "obj.data"):
        dataset = open_dataset(path)
        assert dataset.class_names == ("ant", "bee")
        assert boxes(dataset) == {"train": [1, 2, 0], "val": [1, 1]}
    assert check_dataset(root) == []


def test_lists_may_be_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_darknet(tmp_path / "set", prefix="set/")
    shutil.move(root / "obj.data", tmp_path / "configuration.data")
    monkeypatch.chdir(tmp_path)
    shutil.move(tmp_path / "configuration.data", root / "obj.data")
    assert boxes(open_dataset(root)) == {"train": [1, 2, 0], "val": [1, 1]}


def test_names_with_blanks_are_read(tmp_path: Path) -> None:
    root = make_darknet(tmp_path / "my set")
    (root / "train/a b.jpg").write_bytes((root / "train/train_0.jpg").read_bytes())
    (root / "train/a b.txt").write_bytes((root / "train/train_0.txt").read_bytes())
    (root / "train.txt").write_text("data/train/a b.jpg\r\n")
    assert boxes(open_dataset(root))["train"] == [1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("names=data/obj.names", "", "names: expected a file with one class name per line"),
        ("obj.names", "gone.names", r"obj\.data:5: names: file data/gone\.names does not exist"),
        ("classes = 2", "classes = 3", r"obj\.data:1: classes: expected 2"),
        ("val.txt", "gone.txt", r"obj\.data:3: valid: list data/gone\.txt does not exist"),
        ("train =", "t =", r"split 'train' not found; available: valid"),
    ],
)
def test_faults_of_a_data_file_are_located(old: str, new: str, message: str, tmp_path: Path) -> None:
    root = make_darknet(tmp_path / "set")
    (root / "obj.data").write_text((root / "obj.data").read_text().replace(old, new))
    with pytest.raises(LineageError, match=message):
        open_dataset(root).split("train")


def test_missing_images_of_a_list_are_reported_with_their_lines(tmp_path: Path) -> None:
    root = make_darknet(tmp_path / "set")
    (root / "train/train_1.jpg").unlink()
    with pytest.raises(LineageError, match=r"train\.txt:2: image .*train_1\.jpg does not exist"):
        open_dataset(root)


def test_several_data_files_raise(tmp_path: Path) -> None:
    root = make_darknet(tmp_path / "set")
    shutil.copy(root / "obj.data", root / "other.data")
    with pytest.raises(LineageError, match=r"expected one \.data file; got obj\.data, other\.data"):
        open_dataset(root)


@pytest.mark.parametrize(
    "names", ["classes.txt", "obj.names", "_darknet.labels", "val/_darknet.labels", "val/classes.txt"]
)
def test_folders_with_a_list_of_class_names(names: str, tmp_path: Path) -> None:
    root = make_flat(tmp_path / "set")
    (root / names).write_text("ant\nbee\n")
    assert boxes(open_dataset(root)) == {"train": [1, 2, 0], "val": [1, 1]}
    assert check_dataset(root) == []


def test_lists_of_class_names_must_agree(tmp_path: Path) -> None:
    root = make_flat(tmp_path / "set")
    (root / "train/classes.txt").write_text("ant\nbee\n")
    (root / "val/classes.txt").write_text("bee\nant\n")
    with pytest.raises(LineageError, match=r"val/classes\.txt: expected the names in .*train/classes"):
        open_dataset(root)
    (root / "train/classes.txt").write_bytes("\u7ea2\n".encode("gbk"))
    with pytest.raises(LineageError, match=r"train/classes\.txt: expected UTF-8 text"):
        open_dataset(root)


def test_folders_of_label_studio(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("ant\nbee\n")
    (root / "notes.json").write_text('{"categories": []}')
    assert boxes(open_dataset(root)) == {"train": [1, 2, 0], "val": [1, 1]}


def test_single_folder_is_a_split_of_its_name(tmp_path: Path) -> None:
    root = make_flat(tmp_path / "set")
    (root / "train/classes.txt").write_text("ant\nbee\n")
    dataset = open_dataset(root / "train")
    assert {name: len(split.records) for name, split in dataset.splits.items()} == {"train": 3}
