"""Counts of images, objects and classes."""

from __future__ import annotations

from pathlib import Path

from tests.training.data.tiny_datasets import HEIGHT, WIDTH, Documents, make_coco
from training.data.open import open_dataset
from training.data.validation.statistics import class_rows, count_dataset, split_rows


def add_large_crowd(documents: Documents) -> None:
    documents["train"]["annotations"][2] |= {"iscrowd": 1, "area": 96**2}


def test_split_counts(tmp_path: Path) -> None:
    train, val = count_dataset(open_dataset(make_coco(tmp_path / "set", add_large_crowd)))
    assert (train.name, train.images, train.empty_images, train.objects, train.crowd) == ("train", 3, 1, 3, 1)
    assert (train.small, train.medium, train.large) == (2, 0, 1)
    assert train.per_image == (0, 1.0, 2)
    assert (train.class_objects, train.class_images) == ((2, 1), (2, 1))
    assert train.image_sizes == (((HEIGHT, WIDTH), 3),)
    assert (val.images, val.empty_images, val.objects, val.class_objects) == (2, 0, 2, (1, 1))


def test_counts_of_reference_dataset(shared: Path) -> None:
    train, val = count_dataset(open_dataset(shared / "data" / "bccd"))
    assert (train.images, train.objects, train.class_objects) == (292, 3941, (3348, 301, 292))
    assert (val.images, val.objects, val.class_objects) == (72, 945, (805, 71, 69))


def test_rows_have_a_column_per_split(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    statistics = count_dataset(dataset)
    rows = split_rows(statistics)
    assert rows[0] == ["", "train", "val"]
    assert ["  without objects", "1", "0"] in rows
    assert class_rows(dataset.class_names, statistics)[-2] == ["ant", "2 (2)", "1 (1)"]
