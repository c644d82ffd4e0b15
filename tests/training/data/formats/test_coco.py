"""COCO files: layouts, ids, areas and crowd, compared with pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from model_zoo.contract.errors import LineageError
from tests.training.data.tiny_datasets import HEIGHT, TRUTH, WIDTH, Documents, make_coco, write_coco
from training.data.open import open_dataset
from training.data.validation.check import check_dataset


@pytest.mark.parametrize("name", ["bccd", "coco_mini"])
def test_records_match_pycocotools(name: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = open_dataset(shared / "data" / name)
    for split in dataset.splits.values():
        oracle = COCO(str(shared / "data" / name / "annotations" / f"{split.name}.json"))
        assert [record.image_id for record in split.records] == oracle.getImgIds()
        for record in split.records:
            entries = oracle.loadAnns(oracle.getAnnIds(record.image_id))
            assert [dataset.category_ids[i] for i in record.class_ids] == [e["category_id"] for e in entries]
            assert record.crowd.tolist() == [bool(e["iscrowd"]) for e in entries]
            np.testing.assert_allclose(record.areas, [e["area"] for e in entries], rtol=1e-6)
            boxes = np.array([e["bbox"] for e in entries]).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            np.testing.assert_allclose(record.boxes, boxes, atol=1, err_msg="except for clipping at the edge")
            inside = boxes[:, 2:] <= record.size[::-1]
            np.testing.assert_allclose(record.boxes[:, 2:][inside], boxes[:, 2:][inside], rtol=1e-6)
        names = {category["id"]: category["name"] for category in oracle.loadCats(oracle.getCatIds())}
        assert dict(zip(dataset.category_ids, dataset.class_names, strict=True)) == names
    capsys.readouterr()


def test_classes_are_sorted_by_category_id(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    assert dict(zip(dataset.category_ids, dataset.class_names, strict=True)) == {3: "ant", 7: "bee"}


def test_area_and_crowd_are_read(tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        documents["train"]["annotations"][1]["iscrowd"] = 1

    records = open_dataset(make_coco(tmp_path / "set", change)).split("train").records
    assert [record.crowd.tolist() for record in records] == [[False], [True, False], []]
    assert records[1].areas.tolist() == [96, 384]


def test_annotations_may_be_in_any_order(tmp_path: Path) -> None:
    def rotate(documents: Documents) -> None:
        annotations = documents["train"]["annotations"]
        annotations.insert(0, annotations.pop())

    sorted_split = open_dataset(make_coco(tmp_path / "a")).split("train")
    mixed = open_dataset(make_coco(tmp_path / "b", rotate)).split("train")
    assert mixed.records[1].class_ids.tolist() == [0, 1], "file order within each image"
    assert mixed.records[0].boxes.tolist() == sorted_split.records[0].boxes.tolist()


def test_splits_may_list_different_categories(tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        documents["val"]["categories"] = [{"id": 7, "name": "bee"}]
        documents["val"]["annotations"] = documents["val"]["annotations"][:1]

    dataset = open_dataset(make_coco(tmp_path / "set", change))
    assert dataset.class_names == ("ant", "bee")
    assert dataset.split("val").records[0].class_ids.tolist() == [1]


def test_integers_may_be_written_as_floats(tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        documents["train"]["images"][0]["width"] = float(WIDTH)
        documents["train"]["annotations"][0]["category_id"] = 3.0

    assert open_dataset(make_coco(tmp_path / "set", change)).split("train").records[0].class_ids.tolist() == [0]


def test_single_file_is_a_split_of_its_name(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    dataset = open_dataset(root / "annotations" / "val.json")
    assert list(dataset.splits) == ["val"]
    assert len(dataset.split("val").records) == 2
    assert check_dataset(root / "annotations" / "val.json") == []


def test_official_coco_layout(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    for split in TRUTH:
        (root / "annotations" / f"{split}.json").rename(root / "annotations" / f"instances_{split}2017.json")
        (root / f"{split}2017").mkdir()
        for path in root.glob(f"images/{split}_*"):
            path.rename(root / f"{split}2017" / path.name)
    (root / "annotations" / "captions_train2017.json").write_text("{}")
    dataset = open_dataset(root)
    assert sorted(dataset.splits) == ["train2017", "val2017"]
    assert dataset.split("train").records[0].path == root / "train2017" / "train_0.jpg"


def test_layout_with_one_file_per_folder(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    for split, folder in (("train", "train"), ("val", "valid")):
        (root / folder).mkdir()
        (root / "annotations" / f"{split}.json").rename(root / folder / "_annotations.coco.json")
        for path in root.glob(f"images/{split}_*"):
            path.rename(root / folder / path.name)
    (root / "annotations").rmdir()
    dataset = open_dataset(root)
    assert [len(dataset.split(name).records) for name in ("train", "val")] == [3, 2]


def test_byte_order_mark_and_missing_sizes_are_accepted(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set", lambda d: [e.pop("width") for e in d["train"]["images"]])
    file = root / "annotations" / "train.json"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert open_dataset(root).split("train").records[0].size == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0), ("1", 1), (True, 1), (False, 0), (None, 0), (0.0, 0), (1.0, 1), ("true", 1), ("False", 0), ("", 0)],
)
def test_crowd_may_be_text_or_missing(value: object, expected: int, tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        documents["train"]["annotations"][0]["iscrowd"] = value
        del documents["train"]["annotations"][1]["iscrowd"]

    records = open_dataset(make_coco(tmp_path / "set", change)).split("train").records
    assert [record.crowd.tolist() for record in records] == [[expected], [False, False], []]


@pytest.mark.parametrize("box", ["absent", None, []])
def test_polygons_without_boxes_give_boxes(box: object, tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        entry = documents["train"]["annotations"][0]
        entry.update(bbox=box, segmentation=[[8, 6, 20, 6, 8, 30], [30, 10, 40, 12, 30, 12]])
        if box == "absent":
            del entry["bbox"]

    records = open_dataset(make_coco(tmp_path / "set", change)).split("train").records
    assert records[0].boxes.tolist() == [[8, 6, 40, 30]]


@pytest.mark.parametrize("segmentation", [[], {"counts": "abc", "size": [4, 4]}, [["a", "b"]], "x", [[1]], None])
def test_other_segmentations_do_not_replace_boxes(segmentation: object, tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        documents["train"]["annotations"][0].update(bbox=None, segmentation=segmentation)

    with pytest.raises(LineageError, match=r"train\.json:8: annotation 1: bbox: expected \[x, y"):
        open_dataset(make_coco(tmp_path / "set", change))


def test_ids_and_sizes_may_be_text_or_null(tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        for image in documents["train"]["images"]:
            image.update(id=f"{image['id']:06}", width=None, height=None)
        for entry in documents["train"]["annotations"]:
            entry.update(image_id=str(entry["image_id"]), category_id=f"{entry['category_id']}.0")

    dataset = open_dataset(make_coco(tmp_path / "set", change))
    assert [record.image_id for record in dataset.split("train").records] == [1, 2, 3]
    assert [record.class_ids.tolist() for record in dataset.split("train").records] == [[0], [1, 0], []]


@pytest.mark.parametrize(
    "prefix",
    [
        "images/",
        "/home/me/set/images/",
        "C:\\set\\images\\",
        "./",
        "train2017/",
        "https://example.org/",
        "..\\images\\",
    ],
)
def test_images_are_found_by_the_ends_of_their_names(prefix: str, tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        for image in [image for document in documents.values() for image in document["images"]]:
            image["file_name"] = prefix + image["file_name"]

    assert check_dataset(make_coco(tmp_path / "set", change)) == []


def test_root_category_without_objects_is_ignored(tmp_path: Path) -> None:
    def change(documents: Documents) -> None:
        for document in documents.values():
            document["categories"].insert(0, {"id": 0, "name": "ant", "supercategory": "none"})

    assert check_dataset(make_coco(tmp_path / "set", change)) == []


@pytest.mark.parametrize("name", ["test", "image_info_test-dev2017", "test2017"])
def test_test_split_without_annotations_is_ignored(name: str, tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    document = json.loads((root / "annotations/val.json").read_text())
    del document["annotations"]
    write_coco(root / f"annotations/{name}.json", document)
    assert list(open_dataset(root).splits) == ["train", "val"]
    [finding] = check_dataset(root)
    assert (finding.kind, finding.path.stem) == ("test-missing", name)


def test_hidden_files_are_not_splits(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    (root / "annotations/._train.json").write_bytes(b"\0\5\x16\7")
    (root / "annotations/.ipynb_checkpoints").mkdir()
    assert list(open_dataset(root).splits) == ["train", "val"]


def test_utf16_is_read(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    file = root / "annotations/train.json"
    file.write_bytes(file.read_text().encode("utf-16"))
    assert len(open_dataset(root).split("train").records) == 3
