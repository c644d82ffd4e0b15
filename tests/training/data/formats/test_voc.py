"""Pascal VOC files: pixel origin, difficult objects, class lists, image lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from tests.training.data.tiny_datasets import HEIGHT, WIDTH, labeled_boxes, make_voc, replace_line, voc_object
from training.data.open import open_dataset


def test_pixels_are_counted_from_one(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    one_pixel = voc_object("ant", 0, 0, 1, 1)
    assert "<xmin>1</xmin>" in one_pixel
    assert "<xmax>1</xmax>" in one_pixel
    replace_line(root / "Annotations/train_0.xml", 4, one_pixel)
    assert labeled_boxes(open_dataset(root).split("train").records[0]) == [(0, (0, 0, 1, 1))]


def test_difficult_objects_are_crowd(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    replace_line(root / "Annotations/train_0.xml", 4, voc_object("ant", 8, 6, 40, 30, difficult=1))
    assert open_dataset(root).split("train").records[0].crowd.tolist() == [True]


def test_parts_and_comments_are_not_objects(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>"
    entry = voc_object("ant", 8, 6, 40, 30).replace("</object>", f"{part}</object>")
    replace_line(root / "Annotations/train_0.xml", 4, f"<!-- <object> -->{entry}")
    dataset = open_dataset(root)
    assert dataset.class_names == ("ant", "bee")
    assert labeled_boxes(dataset.split("train").records[0]) == [(0, (8, 6, 40, 30))]


def test_class_list_sets_the_class_order(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    (root / "classes.txt").write_text("wasp\nbee\nant\n")
    dataset = open_dataset(root)
    assert dataset.class_names == ("wasp", "bee", "ant")
    assert dataset.split("train").records[1].class_ids.tolist() == [1, 2]


def test_lists_of_single_classes_are_ignored(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    (root / "ImageSets/Main/ant_train.txt").write_text("train_0  1\ntrain_1 -1\n")
    assert sorted(open_dataset(root).splits) == ["train", "val"]


def test_image_names_that_are_not_utf8_are_reported_as_missing(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    with (root / "ImageSets/Main/val.txt").open("ab") as file:
        file.write(b"caf\xe9\n")
    with pytest.raises(LineageError, match=r"val\.txt:3: image .* does not exist"):
        open_dataset(root)


def test_several_years_are_joined(tmp_path: Path) -> None:
    make_voc(tmp_path / "kit" / "VOC2007")
    make_voc(tmp_path / "kit" / "VOC2012")
    dataset = open_dataset(tmp_path / "kit")
    assert [len(dataset.split(name).records) for name in ("train", "val")] == [6, 4]


def test_declared_size_of_zero_is_ignored(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    replace_line(root / "Annotations/train_0.xml", 3, "<size><width>0</width><height>0</height></size>")
    assert open_dataset(root).split("train").records[0].size == (HEIGHT, WIDTH)
