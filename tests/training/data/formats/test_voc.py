"""Pascal VOC files: pixel origin, difficult objects, class lists, image lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from tests.training.data.tiny_datasets import HEIGHT, WIDTH, labeled_boxes, make_voc, replace_line, voc_object
from training.data.open import open_dataset
from training.data.validation.check import check_dataset


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


@pytest.mark.parametrize("encoding", ["gb2312", "shift-jis", "big5", "euc-kr", "cp1252", "utf-16", "utf-8-sig"])
def test_class_names_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    names = {"gb2312": "红灯", "shift-jis": "信号機", "big5": "紅燈", "euc-kr": "신호등", "cp1252": "café"}
    root, name = make_voc(tmp_path / "set"), names.get(encoding, "свет")
    for file in root.glob("Annotations/*.xml"):
        text = f'<?xml version="1.0" encoding="{encoding}"?>\n{file.read_text().replace("ant<", f"{name}<")}'
        file.write_bytes(text.encode(encoding))
    assert open_dataset(root).class_names == ("bee", name)
    assert check_dataset(root) == []


def test_undecodable_class_name_is_reported_with_its_line(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    file = root / "Annotations/train_0.xml"
    file.write_bytes(file.read_bytes().replace(b"ant<", "caf\u00e9<".encode("latin-1")))
    with pytest.raises(LineageError, match=r"train_0\.xml:4: class name 'caf\ufffd' is not text .*; save"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("", False),
        ("<difficult/>", False),
        ("<difficult>False</difficult>", False),
        ("<difficult> 1 </difficult>", True),
        ("<difficult>1.0</difficult>", True),
        ("<difficult>true</difficult>", True),
    ],
)
def test_difficult_may_be_missing_or_text(element: str, expected: bool, tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    entry = voc_object("ant", 8, 6, 40, 30).replace("<difficult>0</difficult>", element)
    replace_line(root / "Annotations/train_0.xml", 4, entry)
    assert open_dataset(root).split("train").records[0].crowd.tolist() == [expected]


def test_several_boxes_of_an_object_are_refused(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    entry = voc_object("ant", 8, 6, 40, 30).replace("</object>", "<bndbox><xmin>1</xmin></bndbox></object>")
    replace_line(root / "Annotations/train_0.xml", 4, entry)
    with pytest.raises(LineageError, match=r"train_0\.xml:4: ant: expected one bndbox; got 2; write an object"):
        open_dataset(root)


def test_size_may_be_missing_and_coordinates_fractional(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set")
    for size in ("", "<size/>", "<size><width>wide</width><height>1e30</height></size>"):
        replace_line(root / "Annotations/train_0.xml", 3, size)
        replace_line(root / "Annotations/train_0.xml", 4, voc_object("big ant", 8, 6, 40, 30).replace("40", "40.5"))
        dataset = open_dataset(root)
        assert "big ant" in dataset.class_names
        assert dataset.split("train").records[0].boxes.tolist() == [[8, 6, 40.5, 30]]
