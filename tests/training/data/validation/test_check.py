"""Every kind of problem in a dataset gives one finding with its location, before training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.images import damaged_jpeg, encode, exif, gradient_image, with_exif
from tests.training.data.tiny_datasets import (
    Documents,
    make_coco,
    make_voc,
    make_yolo,
    noise,
    replace_line,
    voc_object,
    write_coco,
    write_image,
)
from training.data.open import open_dataset
from training.data.validation.check import check_dataset, require_valid
from training.data.validation.findings import KINDS, InvalidDatasetError


@dataclass(frozen=True)
class Case:
    """A way to break a valid dataset, and the expected finding."""

    kind: str
    """Kind of the finding."""
    break_it: Callable[[Path], object]
    """Writes the broken dataset to a folder."""
    location: str
    """End of the finding's `file:line`."""
    text: str = ""
    """Part of its text."""


def coco(change: Callable[[Documents], object]) -> Callable[[Path], object]:
    return lambda root: make_coco(root, change)


def coco_files(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(make_coco(root))


def yolo(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(make_yolo(root))


def voc(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(make_voc(root))


def annotation(index: int, **fields: object) -> Callable[[Documents], object]:
    """Change fields of an annotation of train.json, deleting those set to None."""

    def change(documents: Documents) -> None:
        entry = documents["train"]["annotations"][index]
        entry.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del entry[name]

    return change


def yolo_line_2(text: str) -> Callable[[Path], object]:
    """Replace the second line of the labels of train_1."""
    return yolo(lambda root: replace_line(root / "labels/train/train_1.txt", 2, text))


def description(text: str) -> Callable[[Path], object]:
    return yolo(lambda root: (root / "data.yaml").write_text(text))


def voc_object_2(text: str) -> Callable[[Path], object]:
    """Replace the second object in the labels of train_1."""
    return voc(lambda root: replace_line(root / "Annotations/train_1.xml", 5, text))


def image(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Change one image file of a COCO set."""
    return coco_files(lambda root: change(root / "images/train_0.jpg"))


def truncate(path: Path, fraction: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])


def rename_category(documents: Documents) -> None:
    documents["val"]["categories"][0]["name"] = "wasp"


def remove_categories(documents: Documents) -> None:
    for document in documents.values():
        document["categories"], document["annotations"] = [], []


def append_duplicate(section: str, **fields: object) -> Callable[[Documents], object]:
    """Add a copy of the first entry of a section of train.json, with other fields."""

    def change(documents: Documents) -> None:
        entries = documents["train"][section]
        entries.append(entries[0] | fields)

    return change


def remove_objects(*splits: str) -> Callable[[Documents], object]:
    def change(documents: Documents) -> None:
        for split in splits:
            documents[split]["annotations"] = []

    return change


def keep_only_ants(documents: Documents) -> None:
    documents["train"]["annotations"] = [e for e in documents["train"]["annotations"] if e["category_id"] == 3]


def mark_all_crowd(*splits: str) -> Callable[[Documents], object]:
    def change(documents: Documents) -> None:
        for entry in [entry for split in splits for entry in documents[split]["annotations"]]:
            entry["iscrowd"] = 1

    return change


def write_unnamed_twin(root: Path) -> None:
    """Add a second image of a VOC id, of which the labels name none."""
    write_image(root / "JPEGImages/val_0.png", noise(90))
    file = root / "Annotations/val_0.xml"
    file.write_text(file.read_text().replace("<filename>val_0.jpg</filename>", ""))


def delete_images(root: Path) -> None:
    for path in root.glob("images/train*"):
        path.unlink()


def add_unlisted_class(root: Path) -> None:
    (root / "classes.txt").write_text("bee\nant\n")
    replace_line(root / "Annotations/train_1.xml", 5, voc_object("wasp", 32, 24, 64, 48))


def rename_train(root: Path) -> None:
    (root / "annotations/train.json").rename(root / "annotations/wildlife.json")


CASES = (
    # Files
    Case("file-empty", coco_files(lambda root: (root / "annotations/train.json").write_text("")), "train.json"),
    Case("file-empty", description("\n"), "data.yaml"),
    Case("file-empty", voc(lambda root: (root / "Annotations/train_0.xml").write_text("")), "train_0.xml"),
    Case(
        "invalid-json", coco_files(lambda r: truncate(r / "annotations/train.json", 0.5)), "train.json:8", "truncated"
    ),
    Case("invalid-json", coco_files(lambda r: replace_line(r / "annotations/train.json", 3, "{,")), "train.json:3"),
    Case("invalid-json", coco_files(lambda r: (r / "annotations/val.json").write_text("[" * 100_000)), "val.json"),
    Case("invalid-json", coco_files(lambda r: (r / "annotations/val.json").write_text("9" * 9_999)), "val.json"),
    Case("invalid-yaml", description("names: [ant, bee\ntrain: images/train\n"), "data.yaml:2"),
    Case("invalid-yaml", description("[" * 1_000), "data.yaml"),
    Case("invalid-xml", voc(lambda root: truncate(root / "Annotations/train_0.xml", 0.9)), "train_0.xml:4"),
    Case(
        "invalid-xml",
        voc(lambda r: (r / "Annotations/train_0.xml").write_text('<!DOCTYPE a [<!ENTITY e "x">]>\n<a>&e;</a>')),
        "train_0.xml",
        "without entities",
    ),
    Case("invalid-xml", voc_object_2(voc_object("\ufffd", 1, 2, 3, 4)), "train_1.xml:5", "save the file as UTF-8"),
    Case("invalid-text", yolo(lambda r: (r / "labels/val/val_0.txt").write_bytes(b"0 0.5\n\xff")), "val_0.txt:2"),
    Case(
        "invalid-text", coco_files(lambda r: (r / "annotations/val.json").write_bytes(b'{"a": "\xe9"}')), "val.json:1"
    ),
    # Descriptions and splits
    Case(
        "field-missing",
        coco(lambda documents: documents["train"].pop("images")),
        "train.json",
        "images: expected a list",
    ),
    Case("field-missing", description("train\n"), "data.yaml:1"),
    Case("field-missing", description("names: [ant, bee]\n"), "data.yaml", "train: and val:"),
    Case("field-missing", description("train: {a: b}\nnames: [ant, bee]\n"), "data.yaml:1", "a path, or a list"),
    Case("classes", description("train: images/train\nval: images/val\n"), "data.yaml", "names"),
    Case(
        "classes", description("train: images/train\nnames: [ant, ant]\n"), "data.yaml:2", "'ant' occurs more than once"
    ),
    Case("classes", description("train: images/train\nnames: {0: ant, 2: bee}\n"), "data.yaml:2", "1 is missing"),
    Case("classes", coco(remove_categories), "train.json", "categories: expected at least one"),
    Case("classes", coco(append_duplicate("categories", id=9)), "train.json:15", "'bee'"),
    Case("classes-nc", description("train: images/train\nval: images/val\nnc: 3\nnames: [ant, bee]\n"), "data.yaml:3"),
    Case("classes-differ", coco(rename_category), "val.json", "'bee' in another split"),
    Case("split-missing", description("train: gone\nval: images/val\nnames: [ant, bee]\n"), "data.yaml:1", "gone"),
    Case(
        "test-missing",
        description((p := "train: images/train\nval: images/val\nnames: [ant, bee]\n") + "test: c\n"),
        "data.yaml:4",
    ),
    Case("split-empty", coco(lambda d: d["val"].update(images=[], annotations=[])), "", "split 'val'"),
    Case("no-train", coco_files(rename_train), "", "got val, wildlife"),
    Case("no-objects", coco(remove_objects("train", "val")), ""),
    Case("no-objects", coco(remove_objects("train")), "", "split 'train'"),
    Case("split-without-objects", coco(remove_objects("val")), "", "split 'val'"),
    Case("class-without-objects", coco(keep_only_ants), "", "bee"),
    Case("no-objects", coco(mark_all_crowd("train", "val")), "", "all objects are crowd or difficult"),
    Case("split-without-objects", coco(mark_all_crowd("val")), "", "all objects are crowd or difficult"),
    # Labels
    Case("labels-missing", yolo(lambda root: shutil.rmtree(root / "labels/val")), "images/val", "val_0.txt"),
    Case("labels-missing", voc(lambda root: [p.unlink() for p in root.glob("Annotations/val*")]), "val.txt"),
    Case(
        "label-missing",
        yolo(lambda root: (root / "labels/val/val_0.txt").unlink()),
        "val_0.jpg",
        "labels/val/val_0.txt",
    ),
    Case("label-missing", voc(lambda root: (root / "Annotations/val_0.xml").unlink()), "val_0.jpg", "val_0.xml"),
    Case(
        "label-orphan", yolo(lambda root: (root / "labels/val/gone.txt").write_text("")), "gone.txt", "images/val/gone"
    ),
    Case(
        "label-shared",
        yolo(lambda root: write_image(root / "images/val/val_0.png", noise(90))),
        "labels/val/val_0.txt",
        "val_0.jpg and val_0.png share them",
    ),
    Case("label-shared", voc(lambda root: write_unnamed_twin(root)), "val_0.xml", "val_0.jpg and val_0.png share them"),
    Case("hidden-files", yolo(lambda root: (root / "images/val/.cache").mkdir()), "data.yaml", "1 hidden entry"),
    Case("columns", yolo_line_2("0 0.5 0.5 0.5"), "train_1.txt:2", "4 columns"),
    Case("columns", yolo_line_2("0 0.5 0.5 0.5 0.5 0.9"), "train_1.txt:2", "a score"),
    Case("number", yolo_line_2("ant 0.5 0.5 0.5 0.5"), "train_1.txt:2", "expected numbers"),
    Case("number", yolo_line_2("0 0.5 0.5 nan 0.5"), "train_1.txt:2", "finite"),
    Case("number", coco(annotation(2, bbox=[1, 2, float("nan"), 4])), "train.json:10", "annotation 3"),
    Case("number", coco(annotation(2, bbox=[1, 2, "3", 4])), "train.json:10"),
    Case("number", voc_object_2(voc_object("ant", 1, 2, 30, 40).replace("30", "wide")), "train_1.xml:5", "wide"),
    Case("number", voc_object_2(voc_object("ant", 1, 2, 30, 40).replace("30", "inf")), "train_1.xml:5", "finite"),
    Case("field-missing", coco(annotation(1, bbox=None)), "train.json:9", "bbox"),
    Case("field-missing", coco(annotation(1, bbox=[1, 2, 3])), "train.json:9", "[x, y, width, height]"),
    Case("field-missing", coco(annotation(1, category_id="ant")), "train.json:9", "category_id"),
    Case("field-missing", coco(lambda d: d["train"]["images"][0].pop("file_name")), "train.json:3", "file_name"),
    Case("field-missing", voc_object_2("<object><bndbox/></object>"), "train_1.xml:5", "name"),
    Case("field-missing", voc_object_2("<object><name>ant</name></object>"), "train_1.xml:5", "xmin is missing"),
    Case(
        "field-missing", coco(annotation(1, iscrowd="maybe")), "train.json:9", "iscrowd: expected 0 or 1; got 'maybe'"
    ),
    Case("field-missing", coco(annotation(1, iscrowd=2)), "train.json:9", "iscrowd: expected 0 or 1; got 2"),
    Case("field-missing", voc_object_2(voc_object("ant", 1, 2, 3, 4, difficult=2)), "train_1.xml:5", "difficult"),
    Case("class-range", yolo_line_2("2 0.5 0.5 0.5 0.5"), "train_1.txt:2", "from 0 to 1"),
    Case("class-range", yolo_line_2("0.5 0.5 0.5 0.5 0.5"), "train_1.txt:2"),
    Case("duplicate-image-id", coco(append_duplicate("images", file_name="b.jpg")), "train.json:6", "'train_0.jpg'"),
    Case("duplicate-annotation-id", coco(append_duplicate("annotations", category_id=7)), "train.json:11"),
    Case("unknown-image", coco(annotation(0, image_id=99)), "train.json:8", "image 99"),
    Case("unknown-category", coco(annotation(0, category_id=4)), "train.json:8", "category 4"),
    Case("unknown-category", voc(add_unlisted_class), "train_1.xml:5", "wasp"),
    # Boxes
    Case("box-not-normalized", yolo_line_2("0 32 24 16 12"), "train_1.txt:2", "divide pixels by width and height"),
    Case("box-not-pixels", coco(annotation(0, bbox=[0.1, 0.2, 0.5, 0.25])), "train.json:8", "fractions of the image"),
    Case("box-not-pixels", voc_object_2(voc_object("ant", -0.5, 0, 0.5, 1)), "train_1.xml:5", "multiply them by width"),
    Case("box-negative", coco(annotation(0, bbox=[40, 30, -32, -24])), "train.json:8", "train_0.jpg"),
    Case("box-negative", yolo_line_2("0 0.5 0.5 -0.5 0.5"), "train_1.txt:2"),
    Case("box-negative", voc_object_2(voc_object("ant", 40, 2, 30, 40)), "train_1.xml:5"),
    Case(
        "box-outside",
        coco(annotation(0, bbox=[70, 10, 20, 20])),
        "train.json:8",
        "(70, 10, 90, 30) of train_0.jpg, 64 x 48",
    ),
    Case("box-empty", coco(annotation(0, bbox=[10, 10, 20, 0])), "train.json:8", "ignored"),
    Case("box-over-edge", coco(annotation(0, bbox=[40, 10, 40, 20])), "train.json:8", "clipped"),
    Case("box-over-edge", yolo_line_2("0 0.9 0.5 0.5 0.5"), "train_1.txt:2"),
    Case("box-duplicate", coco(append_duplicate("annotations", id=50)), "train.json:11", "same box and class"),
    # Images
    Case("images-missing", coco_files(delete_images), "train.json", "images/train_0.jpg"),
    Case("image-missing", image(lambda path: path.unlink()), "train.json:3", "train_0.jpg"),
    Case("image-missing", voc(lambda root: (root / "JPEGImages/val_1.jpg").unlink()), "val.txt:2", "val_1.jpg"),
    Case("image-empty", image(lambda path: path.write_bytes(b"")), "train_0.jpg"),
    Case("image-unreadable", image(lambda path: truncate(path, 0.7)), "train_0.jpg", "64 x 48 pixels"),
    Case("image-unreadable", image(lambda path: truncate(path, 0.05)), "train_0.jpg", "JPEG"),
    Case("image-unreadable", image(lambda path: path.write_text("<html>not found</html>")), "train_0.jpg"),
    Case("image-damaged", image(lambda path: path.write_bytes(damaged_jpeg())), "train_0.jpg", "premature end"),
    Case("image-size", coco(lambda d: d["train"]["images"][0].update(width=32)), "train.json:3", "32 x 48"),
    Case(
        "image-size", voc(lambda r: write_image(r / "JPEGImages/val_0.jpg", noise(99, 20, 30))), "val_0.xml", "30 x 20"
    ),
    Case("image-rotated", image(lambda p: p.write_bytes(with_exif(p.read_bytes(), exif(3)))), "train_0.jpg"),
    Case(
        "image-16-bit",
        coco(lambda d: d["train"]["images"][0].update(file_name="deep.png")),
        "deep.png",
        "converted to 8",
    ),
    Case("image-gray", image(lambda path: write_image(path, noise(1)[:, :, 0])), "train_0.jpg"),
    Case(
        "image-cmyk",
        image(lambda path: path.write_bytes(encode(gradient_image(48, 64).convert("CMYK"), "jpeg"))),
        "train_0.jpg",
    ),
    Case(
        "image-duplicate",
        coco_files(lambda r: shutil.copy(r / "images/train_0.jpg", r / "images/train_2.jpg")),
        "train_2.jpg",
        "same content as",
    ),
    Case("image-duplicate", coco(append_duplicate("images", id=90)), "train_0.jpg", "listed more than once"),
    Case(
        "class-similar",
        coco(lambda d: [c.update(name="ANT ") for x in d.values() for c in x["categories"][:1]]),
        "",
        "'ant' and 'ANT '",
    ),
    Case("leak", coco_files(lambda r: shutil.copy(r / "images/train_0.jpg", r / "images/val_1.jpg")), "val_1.jpg"),
    Case(
        "leak",
        description("train: images/train\nval: images/train\nnames: [ant, bee]\n"),
        "train_0.jpg",
        "3 of 3 images",
    ),
    Case(
        "leak-near",
        coco_files(lambda root: cv2.imwrite(str(root / "images/val_1.jpg"), noise(1), [cv2.IMWRITE_JPEG_QUALITY, 60])),
        "val_1.jpg",
        "looks like training image",
    ),
)


def identify(case: Case) -> str:
    return case.kind


@pytest.fixture(autouse=True)
def deep_image(tmp_path: Path) -> None:
    """Write a 16-bit image for the dataset that lists it."""
    write_image(tmp_path / "set" / "images" / "deep.png", noise(50).astype(np.uint16) * 257)


@pytest.mark.parametrize("make", [make_coco, make_yolo, make_voc])
def test_valid_datasets_have_no_findings(make: Callable[[Path], Path], tmp_path: Path) -> None:
    assert check_dataset(make(tmp_path / "set")) == []


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_problem_gives_one_finding_with_location(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "set"
    case.break_it(root)
    [finding] = check_dataset(root)
    assert finding.kind == case.kind
    assert finding.location.endswith(case.location)
    assert case.text in finding.text
    assert ";" in finding.text, "the problem, and how to fix it"
    assert "\n" not in str(finding)


def test_every_kind_of_finding_has_a_case() -> None:
    assert {case.kind for case in CASES} == set(KINDS)


@pytest.mark.parametrize("case", [case for case in CASES if KINDS[case.kind].severity == "error"], ids=identify)
def test_errors_raise_before_training(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "set"
    case.break_it(root)
    with pytest.raises(InvalidDatasetError, match=r"1 error in the dataset\. Fix it before training") as raised:
        require_valid(open_dataset(root))
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize("case", [case for case in CASES if KINDS[case.kind].severity != "error"], ids=identify)
def test_warnings_and_notes_do_not_raise(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "set"
    case.break_it(root)
    open_dataset(root)


def test_require_valid_checks_the_splits_of_the_run(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    document = json.loads((root / "annotations/train.json").read_text())
    document["images"][0]["file_name"] = "broken.jpg"
    write_coco(root / "annotations/extra.json", document)
    shutil.copy(root / "images/train_0.jpg", root / "images/broken.jpg")
    truncate(root / "images/broken.jpg", 0.7)
    dataset = open_dataset(root)
    assert require_valid(dataset) == []
    assert require_valid(dataset, val="") == []
    with pytest.raises(InvalidDatasetError, match=r"broken\.jpg"):
        require_valid(dataset, train="extra")
    with pytest.raises(InvalidDatasetError, match=r"broken\.jpg"):
        require_valid(dataset, val="extra")


def test_reference_datasets_have_no_errors(shared: Path) -> None:
    assert check_dataset(shared / "data" / "bccd") == []
    kinds = [finding.kind for finding in check_dataset(shared / "data" / "coco_mini")]
    assert kinds == ["no-train", "class-without-objects", "image-gray"]
