"""YAML descriptions of YOLO datasets: names and paths."""

from __future__ import annotations

from pathlib import Path

from tests.training.data.tiny_datasets import make_yolo, write_yaml
from training.data.open import open_dataset


def test_names_may_be_numbered_and_are_read_as_text(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    write_yaml(root, "train: images/train\nval: images/val\nnames:\n  1: no\n  0: 007\n")
    assert open_dataset(root).class_names == ("007", "no")


def test_description_may_be_outside_the_dataset_folder(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "data.yaml").unlink()
    file = tmp_path / "elsewhere.yaml"
    file.write_text(f"path: {root}\ntrain: images/train\nval: [images/val]\ntest:\nnames: [ant, bee]\n")
    assert list(open_dataset(file).splits) == ["train", "val"]
    file.write_text("path: set\ntrain: images/train\nval: images/val\nnames: [ant, bee]\n")
    assert len(open_dataset(file).split("train").records) == 3


def test_leading_parent_folders_are_ignored_if_the_path_does_not_exist(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    write_yaml(root, "train: ../images/train\nval: ../images/val\nnames: [ant, bee]\n")
    assert len(open_dataset(root).split("val").records) == 2
