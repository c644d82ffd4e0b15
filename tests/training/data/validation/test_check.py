"""Every way a dataset can be broken gives one clear message, with its place, before anything is trained."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineage.cli.main import main
from tests.images import encode, exif, photo, with_exif
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
    """A way to break a sound dataset: what is found, where (the end of `file:line`), and a part of what is said."""

    kind: str
    break_it: Callable[[Path], object]
    place: str
    said: str = ""


def coco(change: Callable[[Documents], object]) -> Callable[[Path], object]:
    return lambda root: make_coco(root, change)


def broken_coco(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(make_coco(root))


def yolo(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(make_yolo(root))


def voc(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(make_voc(root))


def annotation(index: int, **fields: object) -> Callable[[Documents], object]:
    """Change fields of an annotation of train.json; None deletes one."""

    def change(documents: Documents) -> None:
        entry = documents["train"]["annotations"][index]
        entry.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del entry[name]

    return change


def line_of_yolo(text: str) -> Callable[[Path], object]:
    """Put another second line into the labels of train_1."""
    return yolo(lambda root: replace_line(root / "labels/train/train_1.txt", 2, text))


def described(text: str) -> Callable[[Path], object]:
    return yolo(lambda root: (root / "data.yaml").write_text(text))


def line_of_voc(text: str) -> Callable[[Path], object]:
    """Put another second object into the labels of train_1."""
    return voc(lambda root: replace_line(root / "Annotations/train_1.xml", 5, text))


def image(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Change one image file of a COCO set."""
    return broken_coco(lambda root: change(root / "images/train_0.jpg"))


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def rename_category(documents: Documents) -> None:
    documents["val"]["categories"][0]["name"] = "wasp"


def two_names(documents: Documents) -> None:
    for document in documents.values():
        document["categories"].append({"id": 9, "name": "ant"})


def no_categories(documents: Documents) -> None:
    for document in documents.values():
        document["categories"], document["annotations"] = [], []


def append_duplicate(section: str, **fields: object) -> Callable[[Documents], object]:
    """Add a copy of the first entry of a section of train.json, with other fields."""

    def change(documents: Documents) -> None:
        entries = documents["train"][section]
        entries.append(entries[0] | fields)

    return change


def forget_objects(*splits: str) -> Callable[[Documents], object]:
    def change(documents: Documents) -> None:
        for split in splits:
            documents[split]["annotations"] = []

    return change


def only_ants(documents: Documents) -> None:
    documents["train"]["annotations"] = [e for e in documents["train"]["annotations"] if e["category_id"] == 3]


def delete_images(root: Path) -> None:
    for path in root.glob("images/train*"):
        path.unlink()


def new_class(root: Path) -> None:
    (root / "classes.txt").write_text("bee\nant\n")
    replace_line(root / "Annotations/train_1.xml", 5, voc_object("wasp", 32, 24, 64, 48))


def no_train(root: Path) -> None:
    (root / "annotations/train.json").rename(root / "annotations/wildlife.json")


CASES = (
    # The files as a whole
    Case("file-empty", broken_coco(lambda root: (root / "annotations/train.json").write_text("")), "train.json"),
    Case("file-empty", described("\n"), "data.yaml"),
    Case("file-empty", voc(lambda root: (root / "Annotations/train_0.xml").write_text("")), "train_0.xml"),
    Case("invalid-json", broken_coco(lambda r: cut(r / "annotations/train.json", 0.5)), "train.json:8", "cut short"),
    Case("invalid-json", broken_coco(lambda r: replace_line(r / "annotations/train.json", 3, "{,")), "train.json:3"),
    Case("invalid-json", broken_coco(lambda r: (r / "annotations/val.json").write_text("[" * 100_000)), "val.json"),
    Case("invalid-json", broken_coco(lambda r: (r / "annotations/val.json").write_text("9" * 9_999)), "val.json"),
    Case("invalid-yaml", described("names: [ant, bee\ntrain: images/train\n"), "data.yaml:2"),
    Case("invalid-yaml", described("[" * 9_999), "data.yaml"),
    Case("invalid-xml", voc(lambda root: cut(root / "Annotations/train_0.xml", 0.9)), "train_0.xml:4"),
    Case(
        "invalid-xml",
        voc(lambda r: (r / "Annotations/train_0.xml").write_text('<!DOCTYPE a [<!ENTITY e "x">]>\n<a>&e;</a>')),
        "train_0.xml",
        "without entities",
    ),
    Case("invalid-text", yolo(lambda r: (r / "labels/val/val_0.txt").write_bytes(b"0 0.5\n\xff")), "val_0.txt:2"),
    Case(
        "invalid-text", broken_coco(lambda r: (r / "annotations/val.json").write_bytes(b'{"a": "\xe9"}')), "val.json:1"
    ),
    # The description and the splits
    Case(
        "field-missing",
        coco(lambda documents: documents["train"].pop("images")),
        "train.json",
        "images: expected a list",
    ),
    Case("field-missing", described("train\n"), "data.yaml:1"),
    Case("field-missing", described("names: [ant, bee]\n"), "data.yaml", "train: and val:"),
    Case("field-missing", described("train: {a: b}\nnames: [ant, bee]\n"), "data.yaml:1", "a path, or a list"),
    Case("classes", described("train: images/train\nval: images/val\n"), "data.yaml", "names"),
    Case("classes", described("train: images/train\nnames: [ant, ant]\n"), "data.yaml:2", "'ant' is there twice"),
    Case("classes", described("train: images/train\nnames: {0: ant, 2: bee}\n"), "data.yaml:2", "1 is missing"),
    Case("classes", coco(no_categories), "train.json", "categories: expected at least one"),
    Case("classes", coco(append_duplicate("categories", id=9)), "train.json:15", "'bee'"),
    Case("classes-nc", described("train: images/train\nval: images/val\nnc: 3\nnames: [ant, bee]\n"), "data.yaml:3"),
    Case("classes-differ", coco(rename_category), "val.json", "'bee' in another split"),
    Case(
        "split-missing", described("train: pictures\nval: images/val\nnames: [ant, bee]\n"), "data.yaml:1", "pictures"
    ),
    Case("split-missing", voc(lambda root: shutil.rmtree(root / "ImageSets")), "train.txt", "an id a line"),
    Case(
        "test-missing",
        described((p := "train: images/train\nval: images/val\nnames: [ant, bee]\n") + "test: c\n"),
        "data.yaml:4",
    ),
    Case("split-empty", coco(lambda d: d["val"].update(images=[], annotations=[])), "", "split 'val'"),
    Case("no-train", broken_coco(no_train), "", "got val, wildlife"),
    Case("no-objects", coco(forget_objects("train", "val")), ""),
    Case("no-objects", coco(forget_objects("train")), "", "split 'train'"),
    Case("split-without-objects", coco(forget_objects("val")), "", "split 'val'"),
    Case("class-without-objects", coco(only_ants), "", "bee"),
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
    Case("columns", line_of_yolo("0 0.5 0.5 0.5"), "train_1.txt:2", "4 columns"),
    Case("columns", line_of_yolo("0 0.5 0.5 0.5 0.5 0.9"), "train_1.txt:2", "a score"),
    Case("number", line_of_yolo("ant 0.5 0.5 0.5 0.5"), "train_1.txt:2", "expected numbers"),
    Case("number", line_of_yolo("0 0.5 0.5 nan 0.5"), "train_1.txt:2", "finite"),
    Case("number", coco(annotation(2, bbox=[1, 2, float("nan"), 4])), "train.json:10", "annotation 3"),
    Case("number", coco(annotation(2, bbox=[1, 2, "3", 4])), "train.json:10"),
    Case("number", line_of_voc(voc_object("ant", 1, 2, 30, 40).replace("30", "wide")), "train_1.xml:5", "wide"),
    Case("number", line_of_voc(voc_object("ant", 1, 2, 30, 40).replace("30", "inf")), "train_1.xml:5", "finite"),
    Case("field-missing", coco(annotation(1, bbox=None)), "train.json:9", "bbox"),
    Case("field-missing", coco(annotation(1, bbox=[1, 2, 3])), "train.json:9", "[x, y, width, height]"),
    Case("field-missing", coco(annotation(1, category_id="ant")), "train.json:9", "category_id"),
    Case("field-missing", coco(lambda d: d["train"]["images"][0].pop("file_name")), "train.json:3", "file_name"),
    Case("field-missing", line_of_voc("<object><bndbox/></object>"), "train_1.xml:5", "name"),
    Case("field-missing", line_of_voc("<object><name>ant</name></object>"), "train_1.xml:5", "xmin is missing"),
    Case("class-range", line_of_yolo("2 0.5 0.5 0.5 0.5"), "train_1.txt:2", "from 0 to 1"),
    Case("class-range", line_of_yolo("0.5 0.5 0.5 0.5 0.5"), "train_1.txt:2"),
    Case("duplicate-image-id", coco(append_duplicate("images", file_name="b.jpg")), "train.json:6", "'train_0.jpg'"),
    Case("duplicate-annotation-id", coco(append_duplicate("annotations", category_id=7)), "train.json:11"),
    Case("unknown-image", coco(annotation(0, image_id=99)), "train.json:8", "image 99"),
    Case("unknown-category", coco(annotation(0, category_id=4)), "train.json:8", "category 4"),
    Case("unknown-category", voc(new_class), "train_1.xml:5", "wasp"),
    # Boxes
    Case("box-not-normalized", line_of_yolo("0 32 24 16 12"), "train_1.txt:2", "divide by width and height"),
    Case("box-negative", coco(annotation(0, bbox=[40, 30, -32, -24])), "train.json:8", "train_0.jpg"),
    Case("box-negative", line_of_yolo("0 0.5 0.5 -0.5 0.5"), "train_1.txt:2"),
    Case("box-negative", line_of_voc(voc_object("ant", 40, 2, 30, 40)), "train_1.xml:5"),
    Case(
        "box-outside",
        coco(annotation(0, bbox=[70, 10, 20, 20])),
        "train.json:8",
        "(70, 10, 90, 30) of train_0.jpg, 48 x 64",
    ),
    Case("box-empty", coco(annotation(0, bbox=[10, 10, 20, 0])), "train.json:8", "left out"),
    Case("box-over-edge", coco(annotation(0, bbox=[40, 10, 40, 20])), "train.json:8", "clipped"),
    Case("box-over-edge", line_of_yolo("0 0.9 0.5 0.5 0.5"), "train_1.txt:2"),
    Case("box-duplicate", coco(append_duplicate("annotations", id=50)), "train.json:11", "there before"),
    # Images
    Case("images-missing", broken_coco(delete_images), "train.json", "images/train_0.jpg"),
    Case("image-missing", image(lambda path: path.unlink()), "train.json:3", "train_0.jpg"),
    Case("image-missing", voc(lambda root: (root / "JPEGImages/val_1.jpg").unlink()), "val.txt:2", "val_1.jpg"),
    Case("image-empty", image(lambda path: path.write_bytes(b"")), "train_0.jpg"),
    Case("image-unreadable", image(lambda path: cut(path, 0.7)), "train_0.jpg", "48 x 64 pixels"),
    Case("image-unreadable", image(lambda path: cut(path, 0.05)), "train_0.jpg", "JPEG"),
    Case("image-unreadable", image(lambda path: path.write_text("<html>not found</html>")), "train_0.jpg"),
    Case("image-size", coco(lambda d: d["train"]["images"][0].update(width=32)), "train.json:3", "48 x 32"),
    Case(
        "image-size", voc(lambda r: write_image(r / "JPEGImages/val_0.jpg", noise(99, 20, 30))), "val_0.xml", "20 x 30"
    ),
    Case("image-rotated", image(lambda p: p.write_bytes(with_exif(p.read_bytes(), exif(3)))), "train_0.jpg"),
    Case(
        "image-16-bit",
        coco(lambda d: d["train"]["images"][0].update(file_name="deep.png")),
        "deep.png",
        "rounded to 8",
    ),
    Case("image-gray", image(lambda path: write_image(path, noise(1)[:, :, 0])), "train_0.jpg"),
    Case(
        "image-cmyk", image(lambda path: path.write_bytes(encode(photo(48, 64).convert("CMYK"), "jpeg"))), "train_0.jpg"
    ),
    Case(
        "image-duplicate",
        broken_coco(lambda r: shutil.copy(r / "images/train_0.jpg", r / "images/train_2.jpg")),
        "train_2.jpg",
    ),
    Case("leak", broken_coco(lambda r: shutil.copy(r / "images/train_0.jpg", r / "images/val_1.jpg")), "val_1.jpg"),
    Case(
        "leak", described("train: images/train\nval: images/train\nnames: [ant, bee]\n"), "train_0.jpg", "3 of 3 images"
    ),
    Case(
        "leak-near",
        broken_coco(lambda root: cv2.imwrite(str(root / "images/val_1.jpg"), noise(1), [cv2.IMWRITE_JPEG_QUALITY, 60])),
        "val_1.jpg",
        "train_0.jpg looks the same",
    ),
)


def identify(case: Case) -> str:
    return case.kind


@pytest.fixture(autouse=True)
def deep_picture(tmp_path: Path) -> None:
    """A picture of 16 bits, for the set that names it."""
    write_image(tmp_path / "set" / "images" / "deep.png", noise(50).astype(np.uint16) * 257)


@pytest.mark.parametrize("make", [make_coco, make_yolo, make_voc])
def test_a_sound_data_set_is_sound(make: Callable[[Path], Path], tmp_path: Path) -> None:
    assert check_dataset(make(tmp_path / "set")) == []


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_what_is_broken_is_told_once_and_in_its_place(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "set"
    case.break_it(root)
    [finding] = check_dataset(root)
    assert finding.kind == case.kind
    assert finding.location.endswith(case.place)
    assert case.said in finding.text
    assert ";" in finding.text, "what was expected, and how it is mended"
    assert "\n" not in str(finding)


def test_every_kind_of_finding_is_tried() -> None:
    assert {case.kind for case in CASES} == set(KINDS)


@pytest.mark.parametrize("case", [case for case in CASES if KINDS[case.kind].severity == "error"], ids=identify)
def test_errors_are_refused_before_training(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "set"
    case.break_it(root)
    with pytest.raises(InvalidDatasetError, match=r"1 error in the dataset\. Fix it before training") as refused:
        require_valid(open_dataset(root))
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("case", [case for case in CASES if KINDS[case.kind].severity != "error"], ids=identify)
def test_what_is_no_error_is_not_refused(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "set"
    case.break_it(root)
    open_dataset(root)


def test_a_refusal_lists_the_first_errors_and_counts_the_rest(tmp_path: Path) -> None:
    make_yolo(tmp_path / "set")
    (tmp_path / "set/labels/train/train_0.txt").write_text("9 0.5 0.5 0.1 0.1\n" * 12)
    with pytest.raises(InvalidDatasetError) as refused:
        open_dataset(tmp_path / "set")
    head, *listed, rest = str(refused.value).splitlines()
    assert "12 errors" in head
    assert [re.search(r"train_0\.txt:(\d+): class", line)[1] for line in listed] == list("12345")
    assert "and 7 more; `lineage data check" in rest


def test_requiring_soundness_looks_at_the_splits_that_are_used(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set")
    document = json.loads((root / "annotations/train.json").read_text())
    document["images"][0]["file_name"] = "broken.jpg"
    write_coco(root / "annotations/extra.json", document)
    shutil.copy(root / "images/train_0.jpg", root / "images/broken.jpg")
    cut(root / "images/broken.jpg", 0.7)
    dataset = open_dataset(root)
    assert require_valid(dataset) == []
    assert require_valid(dataset, val="") == []
    with pytest.raises(InvalidDatasetError, match=r"broken\.jpg"):
        require_valid(dataset, train="extra")
    with pytest.raises(InvalidDatasetError, match=r"broken\.jpg"):
        require_valid(dataset, val="extra")


class TestCommand:
    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
        code = main(["data", "check", *arguments])
        return code, capsys.readouterr().out

    def test_a_sound_set_passes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_coco(tmp_path / "set")
        assert self.run(capsys, str(root)) == (0, f"{root}: 0 errors, 0 warnings, 0 notes\n")

    def test_errors_fail_and_are_listed_a_line_each(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_yolo(tmp_path / "set")
        file = root / "labels/train/train_0.txt"
        file.write_text("9 0.5 0.5 0.1 0.1\n" * 7 + "0 1.0 0.5 0.5 0.5\n")
        code, out = self.run(capsys, str(root))
        lines = out.splitlines()
        assert code == 1
        assert lines[0].startswith(f"{file}:1: error: class: expected a whole number from 0 to 1")
        assert lines[5] == "... and 2 more such errors, which --json lists [class-range]"
        assert lines[6].startswith(f"{file}:8: warning: ")
        assert lines[7] == f"{root}: 7 errors, 1 warning, 0 notes"

    def test_json_lists_all(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_yolo(tmp_path / "set")
        (root / "labels/train/train_0.txt").write_text("9 0.5 0.5 0.1 0.1\n" * 7)
        code, out = self.run(capsys, str(root), "--json")
        document = json.loads(out)
        assert (code, document["error"], document["warning"]) == (1, 7, 0)
        assert document["findings"][6] == {
            "severity": "error",
            "kind": "class-range",
            "path": str(root / "labels/train/train_0.txt"),
            "line": 7,
            "text": document["findings"][0]["text"],
        }

    def test_no_data_set_is_a_users_mistake(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["data", "check", str(tmp_path / "gone")]) == 2
        assert "no such dataset; expected a COCO" in capsys.readouterr().err


def test_the_reference_data_sets_are_sound(shared: Path) -> None:
    assert check_dataset(shared / "data" / "bccd") == []
    found = [finding.kind for finding in check_dataset(shared / "data" / "coco_mini")]
    assert found == ["no-train", "class-without-objects", "image-gray"]
