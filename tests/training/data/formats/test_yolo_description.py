"""YAML descriptions of YOLO datasets: names and paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
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


@pytest.mark.parametrize("key", ["val", "valid", "validation"])
@pytest.mark.parametrize(
    "path",
    [
        "../images/val",
        "..\\images\\val",
        "images\\val",
        "C:\\Users\\me\\set\\images\\val",
        "/content/set/images/val",
        "../../set/images/val",
        "./images/val/",
    ],
)
def test_paths_of_other_machines_are_found(key: str, path: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    for folder in ("", "path: /content/set\n", "path:\n", "path: ../datasets/set\n"):
        write_yaml(root, f"{folder}train: images/train\n{key}: '{path}'\nnames: [ant, bee]\n")
        assert len(open_dataset(root).split("val").records) == 2


@pytest.mark.parametrize(
    "names", ["[ant, bee]", "ant, bee", "class.names", "{'0': ant, '1': bee}", "\n  - ant\n  - bee"]
)
def test_notations_of_names(names: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "class.names").write_text("ant\r\nbee\r\n\r\n")
    write_yaml(root, f"train: images/train\nval: images/val\nnc: 2\nnames: {names}\n")
    assert open_dataset(root).class_names == ("ant", "bee")


@pytest.mark.parametrize("shape", ["17", "[17]", "[17, 4]", "[-1, 2]", "[a, 2]", "{x: 1}"])
def test_invalid_keypoint_shape_is_reported(shape: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    write_yaml(root, f"train: images/train\nval: images/val\nkpt_shape: {shape}\nnames: [ant, bee]\n")
    with pytest.raises(LineageError, match=r"data\.yaml:3: kpt_shape: expected \[keypoints, 2 or 3\]; got"):
        open_dataset(root)
