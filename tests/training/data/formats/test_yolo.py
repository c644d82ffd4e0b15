"""YOLO text files: image lists, label files, polygons."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from tests.training.data.tiny_datasets import labeled_boxes, make_yolo, replace_line, write_yaml
from training.data.open import open_dataset


def test_image_lists_and_several_sources(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "some.txt").write_text("./images/train/train_1.jpg\n\nimages/train/train_0.jpg\n")
    write_yaml(root, "train: [some.txt, images/val]\nval: images/val\nnames: [ant, bee]\n")
    records = open_dataset(root).split("train").records
    assert [record.path.stem for record in records] == ["train_1", "train_0", "val_0", "val_1"]
    assert len(records[0].boxes) == 2


def test_missing_image_of_a_list_is_reported_with_its_line(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "some.txt").write_text("images/train/train_0.jpg\nimages/train/gone.jpg\n")
    write_yaml(root, "train: some.txt\nval: images/val\nnames: [ant, bee]\n")
    with pytest.raises(LineageError, match=r"some\.txt:2: image .*gone\.jpg does not exist"):
        open_dataset(root)


def test_labels_may_be_beside_the_images(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    for path in list((root / "labels").rglob("*.txt")):
        shutil.move(path, root / "images" / path.relative_to(root / "labels"))
    assert [len(record.boxes) for record in open_dataset(root).split("train").records] == [1, 2, 0]


def test_polygon_becomes_its_bounding_box(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    replace_line(root / "labels/train/train_0.txt", 1, "1 0.25 0.5 0.5 0.125 0.75 0.25 0.5 0.75")
    record = open_dataset(root).split("train").records[0]
    assert labeled_boxes(record) == [(1, (16, 6, 48, 36))]


def test_unsupported_image_formats_are_reported(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "images/train/new.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (root / "labels/train/new.txt").write_text("")
    with pytest.raises(LineageError, match=r"new\.heic: .*HEI"):
        open_dataset(root)
