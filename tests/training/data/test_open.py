"""Detect the dataset format, and read the same records from every format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from tests.training.data.tiny_datasets import (
    HEIGHT,
    TRUTH,
    WIDTH,
    labeled_boxes,
    make_coco,
    make_voc,
    make_yolo,
    noise,
    write_image,
)
from training.data.open import open_dataset


@pytest.mark.parametrize("make", [make_coco, make_yolo, make_voc])
def test_every_format_gives_the_same_records(make: Callable[[Path], Path], tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path / "set"))
    assert dataset.class_names == ("ant", "bee")
    for name, images in TRUTH.items():
        records = dataset.split(name).records
        assert [record.size for record in records] == [(HEIGHT, WIDTH)] * len(images)
        assert [record.path.name for record in records] == [f"{name}_{i}.jpg" for i in range(len(images))]
        for record, truth in zip(records, images, strict=True):
            objects = labeled_boxes(record)
            assert [class_id for class_id, _ in objects] == [class_id for class_id, _ in truth]
            np.testing.assert_allclose([box for _, box in objects], [box for _, box in truth], atol=1e-4)
            assert record.boxes.dtype == record.areas.dtype == np.float32
            assert record.boxes.shape == (len(truth), 4)
            assert (record.class_ids.dtype, record.crowd.dtype) == (np.int64, np.bool_)


def test_several_descriptions_raise(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "data.yaml").rename(root / "a.yaml")
    (root / "settings.yaml").write_text("color: red\n")
    assert open_dataset(root).class_names == ("ant", "bee")
    shutil.copy(root / "a.yaml", root / "b.yaml")
    with pytest.raises(LineageError, match=r"expected one dataset description; got a\.yaml, b\.yaml"):
        open_dataset(root)


def test_missing_path_raises(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=r"gone: no such dataset; expected a COCO \.json file"):
        open_dataset(tmp_path / "gone")


def test_folder_without_dataset_raises(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(1))
    with pytest.raises(LineageError, match=r"unknown dataset format; expected .*; got a\.png"):
        open_dataset(tmp_path)


def test_file_of_unknown_format_raises(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(1))
    with pytest.raises(LineageError, match=r"unknown dataset format; expected .*; got a file"):
        open_dataset(tmp_path / "a.png")
