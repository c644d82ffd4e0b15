"""Layouts of Pascal VOC: lists of ids, several images of an id, XML beside images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.data.tiny_datasets import make_voc, noise, write_image
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.data.validation.check import check_dataset

TRUTH = {"train": [1, 2, 0], "val": [1, 1]}


def boxes(dataset: Dataset) -> dict[str, list[int]]:
    return {purpose: [len(r.boxes) for r in dataset.split(purpose).records] for purpose in TRUTH}


def make_flat(root: Path, name_splits: dict[str, str]) -> Path:
    """Write a folder with images and XML files for each split."""
    make_voc(root / "voc")
    for split, folder in name_splits.items():
        (root / folder).mkdir(parents=True)
        for file in [*root.glob(f"voc/JPEGImages/{split}*"), *root.glob(f"voc/Annotations/{split}*")]:
            shutil.move(file, root / folder / file.name)
    shutil.rmtree(root / "voc")
    return root


def rename_ids(root: Path, rename: Callable[[str], str]) -> None:
    """Rename images and XML files, but not their lists."""
    for file in [*root.glob("JPEGImages/*"), *root.glob("Annotations/*")]:
        target = file.parent / (rename(file.stem) + file.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)


def write_lists(root: Path, line: Callable[[str], str], folder: str = "ImageSets/Main") -> None:
    ids = {split: (root / f"ImageSets/Main/{split}.txt").read_text().split() for split in TRUTH}
    shutil.rmtree(root / "ImageSets")
    (root / folder).mkdir(parents=True, exist_ok=True)
    for split, names in ids.items():
        (root / folder / f"{split}.txt").write_text("".join(f"{line(name)}\n" for name in names))


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("_", " image "),
        lambda name: f"{name} -1",
        lambda name: f"{name} 1",
        lambda name: f"v1.5_{name}",
        lambda name: f"{name}.rf.0123",
        lambda name: f"day 1/{name}",
    ],
)
def test_ids_may_have_blanks_numbers_dots_and_folders(rename: Callable[[str], str], tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    rename_ids(root, rename)
    write_lists(root, rename)
    (root / "ImageSets/Main/ant_train.txt").write_text("".join(f"{rename(f'train_{i}')}\t -1\n" for i in range(3)))
    assert boxes(open_dataset(root)) == TRUTH
    assert check_dataset(root) == []


@pytest.mark.parametrize(
    "line",
    [
        "{}  ",
        "\t{}\r",
        "{}.jpg",
        "{}.xml",
        "JPEGImages/{}.jpg",
        "./JPEGImages/{}.jpg",
        "Annotations/{}.xml",
        "C:\\VOC\\JPEGImages\\{}.jpg",
        "/data/VOC/Annotations/{}.xml",
    ],
)
def test_lists_may_name_files(line: str, tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    write_lists(root, line.format)
    assert boxes(open_dataset(root)) == TRUTH
    assert check_dataset(root) == []


@pytest.mark.parametrize("folder", ["ImageSets", "."])
def test_lists_may_be_in_other_folders(folder: str, tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    write_lists(root, str, folder)
    (root / "classes.txt").write_text("ant\nbee\n")
    assert boxes(open_dataset(root)) == TRUTH


@pytest.mark.parametrize("flag", [" 1", "  0", " -1", "\t1"])
def test_lists_of_single_classes_are_ignored(flag: str, tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    (root / "ImageSets/Main/ant_train.txt").write_text(f"train_0{flag}\ntrain_1{flag}\n")
    (root / "ImageSets/Main/._val.txt").write_bytes(b"\0\5\x16\7")
    assert sorted(open_dataset(root).splits) == ["train", "val"]


def test_labels_choose_among_images_of_one_id(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    write_image(root / "JPEGImages/val_0.png", noise(90))
    file = root / "Annotations/val_0.xml"
    for suffix in ("jpg", "png"):
        file.write_text(file.read_text().replace("val_0.jpg", f"val_0.{suffix}"))
        assert open_dataset(root).split("val").records[0].path.name == f"val_0.{suffix}"


def test_labels_name_an_image_of_another_id(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    (root / "JPEGImages/val_0.jpg").rename(root / "JPEGImages/IMG 1.JPG")
    file = root / "Annotations/val_0.xml"
    file.write_text(file.read_text().replace("<filename>val_0.jpg</filename>", r"<path>C:\me\IMG 1.JPG</path>"))
    assert open_dataset(root).split("val").records[0].path.name == "IMG 1.JPG"


@pytest.mark.parametrize("splits", [("train", "valid"), ("Train", "validation"), ("train", "test")])
def test_xml_beside_images(splits: tuple[str, str], tmp_path: Path) -> None:
    root = make_flat(tmp_path / "set", dict(zip(TRUTH, splits, strict=True)))
    assert boxes(open_dataset(root)) == TRUTH
    assert check_dataset(root) == []


def test_faults_of_flat_folders_are_reported(tmp_path: Path) -> None:
    root = make_flat(tmp_path / "set", {"train": "train", "val": "val"})
    shutil.copy(root / "val/val_0.xml", root / "val/gone.xml")
    shutil.copy(root / "val/val_0.xml", root / "val/._val_0.xml")
    text = (root / "val/gone.xml").read_text().replace("val_0.jpg", "gone.jpg")
    (root / "val/gone.xml").write_text(text)
    (root / "train/train_2.xml").unlink()
    (root / "train/._train_0.jpg").write_bytes(b"\0\5\x16\7")
    kinds = {finding.kind: finding.path.name for finding in check_dataset(root)}
    assert kinds == {"label-orphan": "gone.xml", "label-missing": "train_2.jpg", "hidden-files": "train"}


def test_xml_names_an_image_beside_it(tmp_path: Path) -> None:
    root = make_flat(tmp_path / "set", {"train": "train", "val": "val"})
    (root / "val/val_0.xml").rename(root / "val/0001.xml")
    assert boxes(open_dataset(root)) == TRUTH


def test_single_folder_of_pairs_is_a_split_of_its_name(tmp_path: Path) -> None:
    root = make_flat(tmp_path, {"train": "wildlife", "val": "val"})
    assert list(open_dataset(root / "wildlife").splits) == ["wildlife"]


def test_folders_named_as_splits_need_no_lists(tmp_path: Path) -> None:
    for split, other in (("train", "val"), ("val", "train")):
        root = make_voc(tmp_path / "set" / split)
        for file in [*root.glob(f"*/{other}_*"), *root.glob("ImageSets/Main/*")]:
            file.unlink()
    assert boxes(open_dataset(tmp_path / "set")) == TRUTH


@pytest.mark.parametrize(("images", "annotations"), [("images", "annotations"), ("data", "labels")])
def test_folders_may_have_the_names_of_other_tools(images: str, annotations: str, tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    (root / "JPEGImages").rename(root / images)
    (root / "Annotations").rename(root / annotations)
    assert boxes(open_dataset(root)) == TRUTH


@pytest.mark.parametrize("subfolder", ["", "xmls"])
def test_folder_without_lists_is_a_split_of_its_name(subfolder: str, tmp_path: Path) -> None:
    root = make_voc(tmp_path / "wildlife")
    shutil.rmtree(root / "ImageSets")
    (root / "Annotations" / subfolder).mkdir(exist_ok=True)
    for file in root.glob("Annotations/*.xml"):
        file.rename(file.parent / subfolder / file.name)
    dataset = open_dataset(root)
    assert [(name, [len(r.boxes) for r in s.records]) for name, s in dataset.splits.items()] == [
        ("wildlife", [*TRUTH["train"], *TRUTH["val"]])
    ]
    assert "no-train" in {finding.kind for finding in check_dataset(root)}


def test_folders_may_be_links(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
        shutil.move(root / name, tmp_path / "elsewhere" / name / "all")
        (root / name).symlink_to(tmp_path / "elsewhere" / name / "all")
    assert boxes(open_dataset(root)) == TRUTH
    write_lists(root, "batch/{}".format)
    for name in ("JPEGImages", "Annotations"):
        (root / name).unlink()
        (root / name).mkdir()
        (root / name / "batch").symlink_to(tmp_path / "elsewhere" / name / "all")
    assert boxes(open_dataset(root)) == TRUTH
