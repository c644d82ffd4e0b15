"""YOLO text files: image lists, label files, polygons."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from tests.training.data.tiny_datasets import labeled_boxes, make_yolo, replace_line, write_yaml
from training.data.formats.yolo import label_file
from training.data.open import open_dataset
from training.data.validation.check import check_dataset


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


def test_keypoints_are_ignored_if_declared(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    write_yaml(root, "train: images/train\nval: images/val\nkpt_shape: [2, 3]\nnames: [ant, bee]\n")
    plain = open_dataset(root).split("train").records[1]
    file = root / "labels/train/train_1.txt"
    file.write_text("".join(f"{line} 0.1 0.1 2 0 0 0\n" for line in file.read_text().splitlines()))
    assert labeled_boxes(open_dataset(root).split("train").records[1]) == labeled_boxes(plain)


def test_keypoints_without_declaration_are_refused(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "labels/train/train_0.txt").write_text("0 0.8 0.8 0.2 0.2 0.75 0.8 0.8 0.75\n")
    with pytest.raises(LineageError, match=r"train_0\.txt:1: lines look like .* add kpt_shape: \[2, 2\]") as raised:
        open_dataset(root)
    assert "1 error" in str(raised.value)
    write_yaml(root, "train: images/train\nval: images/val\nkpt_shape: [0, 2]\nnames: [ant, bee]\n")
    assert len(open_dataset(root).split("train").records) == 3, "they are polygons after all"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "ascii"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_notation_of_the_text_files_does_not_matter(encoding: str, newline: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    plain = open_dataset(root).split("train").fingerprint
    for file in [*root.rglob("*.txt"), root / "data.yaml"]:
        file.write_bytes(file.read_text().replace("\n", newline).encode(encoding))
    assert open_dataset(root).split("train").fingerprint == plain


def test_hidden_files_are_skipped_and_counted(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    for name in ("images/train/._train_0.jpg", "labels/train/._train_0.txt", "images/val/.ipynb_checkpoints/val_0.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"\0\5\x16\7")
    (root / "list.txt").write_text("images/train/train_0.jpg\nimages/train/._train_0.jpg\nimages/train/train_1.jpg\n")
    write_yaml(root, "train: list.txt\nval: images/val\nnames: [ant, bee]\n")
    assert [len(split.records) for split in open_dataset(root).splits.values()] == [2, 2]
    [finding] = check_dataset(root)
    assert finding.severity == "note"
    assert "2 hidden entries" in finding.text


@pytest.mark.parametrize(
    "name",
    [
        "images\\train\\train_0.jpg",
        "D:/set/images/train/train_0.jpg",
        '"images/train/a b.JPG"',
        "../set/images/train/a b.JPG",
    ],
)
def test_lists_of_other_systems_are_read(name: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    shutil.copy(root / "images/train/train_0.jpg", root / "images/train/a b.JPG")
    shutil.copy(root / "labels/train/train_0.txt", root / "labels/train/a b.txt")
    (root / "some.lst").write_text(f"{name}\r\n")
    write_yaml(root, "train: some.lst\nval: images/val\nnames: [ant, bee]\n")
    assert [len(record.boxes) for record in open_dataset(root).split("train").records] == [1]


def test_lists_in_utf16_are_read(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "some.txt").write_bytes("images\\train\\train_0.jpg\r\nimages\\train\\train_1.jpg\r\n".encode("utf-16"))
    write_yaml(root, "train: some.txt\nval: images/val\nnames: [ant, bee]\n")
    assert [len(record.boxes) for record in open_dataset(root).split("train").records] == [1, 2]


@pytest.mark.parametrize("name", ["a\0b.jpg", f"{'x' * 5000}.jpg", "/dev/null/a.jpg", "caf\ufffd.jpg", "/", ".."])
def test_impossible_names_are_missing_images(name: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    (root / "some.txt").write_text(f"images/train/train_0.jpg\n{name}\n")
    write_yaml(root, "train: some.txt\nval: images/val\nnames: [ant, bee]\n")
    with pytest.raises(LineageError, match=r"1 error in the dataset.*\n.*(does not exist|too long|Not a|Is a)"):
        open_dataset(root)


@pytest.mark.parametrize("folder", ["images", "Images", "JPEGImages"])
def test_label_folder_replaces_the_image_folder(folder: str, tmp_path: Path) -> None:
    assert label_file(tmp_path / folder / "a/1.jpg") == tmp_path / "labels/a/1.txt"
