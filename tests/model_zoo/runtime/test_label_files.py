"""Label files: contents of each format, names of images, and the folder that appears at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import LineageError
from model_zoo.contract.frames import Frame
from model_zoo.contract.images import decode_image
from model_zoo.runtime.detect_frames import FrameError, FrameResult
from model_zoo.runtime.label_files import LabelFormat, check_new_folder, frame_name, name_images, write_labels
from tests.tiny_onnx import toy_card

CARD = replace(toy_card(), class_names=("red", 'cup, "glass"', "bleu é"))
PACKAGE: Any = SimpleNamespace(card=CARD, reference="toy@1")
BOXES = np.asarray([[10.0004, 20, 30.25, 60], [0, 0, 3.3333333, 100]], np.float32)
FOUND = Detections(BOXES, np.asarray([0.9, 0.5], np.float32), np.asarray([1, 0]))
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def image(name: str) -> Frame:
    return Frame(name, lambda: np.full((100, 200, 3), 50, np.uint8))


RESULTS = [
    FrameResult(image("in/a b.jpg"), (100, 200), FOUND, 0, 0),
    FrameError(image("in/bad.png"), "damaged"),
    FrameResult(image("in/deep/c.png"), (50, 60), NOTHING, 0, 0),
]
NAMES = name_images([result.frame.source for result in RESULTS], "coco")


def write(folder: Path, label_format: LabelFormat, **options: Any) -> None:
    assert list(write_labels(RESULTS, PACKAGE, NAMES, folder, label_format, **options)) == RESULTS


def test_coco_file_has_images_categories_and_boxes(tmp_path: Path) -> None:
    write(tmp_path / "new" / "out", "coco")
    document = json.loads((tmp_path / "new" / "out" / "labels.json").read_text())
    assert document["images"] == [
        {"id": 1, "file_name": "a b.jpg", "width": 200, "height": 100},
        {"id": 2, "file_name": "deep/c.png", "width": 60, "height": 50},
    ]
    assert [(c["id"], c["name"]) for c in document["categories"]] == [(1, "red"), (2, 'cup, "glass"'), (3, "bleu é")]
    first, second = document["annotations"]
    assert first == {
        "id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 20, 20.25, 40], "score": 0.9,
        "area": 810, "iscrowd": 0, "segmentation": [],
    }  # fmt: skip
    assert (second["id"], second["image_id"], second["category_id"], second["bbox"][2]) == (2, 1, 1, 3.333)


def test_yolo_files_have_a_line_per_object_and_none_for_no_object(tmp_path: Path) -> None:
    write(tmp_path / "out", "yolo")
    labels = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.txt")}
    assert sorted(labels) == ["classes.txt", "labels/a b.txt", "labels/deep/c.txt"]
    assert labels["classes.txt"].read_text() == 'red\ncup, "glass"\nbleu é\n'
    assert labels["labels/a b.txt"].read_text().splitlines() == [
        "1 0.10062500 0.40000000 0.10125000 0.40000000",
        "0 0.00833250 0.50000000 0.01666500 1.00000000",
    ]
    assert labels["labels/deep/c.txt"].read_text() == ""
    assert '  1: "cup, \\"glass\\""\n' in (tmp_path / "out" / "data.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "addresses"),
    [
        ({}, ["/data/local-files/?d=a%20b.jpg", "/data/local-files/?d=deep/c.png"]),
        (
            {"image_url": "https://images.example/"},
            ["https://images.example/a%20b.jpg", "https://images.example/deep/c.png"],
        ),
    ],
)
def test_label_studio_tasks_have_addresses_and_predictions(
    options: dict[str, str], addresses: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "out", "label-studio", **options)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert [task["data"] for task in tasks] == [{"image": address} for address in addresses]
    (prediction,) = tasks[0]["predictions"]
    assert prediction["model_version"] == "toy@1"
    assert [region["value"]["rectanglelabels"] for region in prediction["result"]] == [['cup, "glass"'], ["red"]]
    assert tasks[1]["predictions"][0]["result"] == []
    root = ElementTree.parse(tmp_path / "out" / "label_config.xml").getroot()
    assert [label.attrib["value"] for label in root.iter("Label")] == ["red", 'cup, "glass"', "bleu é"]


@pytest.mark.parametrize("label_format", ["coco", "yolo", "label-studio"])
def test_no_results_give_empty_files(label_format: LabelFormat, tmp_path: Path) -> None:
    assert list(write_labels([], PACKAGE, {}, tmp_path / "out", label_format)) == []
    for path in (tmp_path / "out").glob("*.json"):
        json.loads(path.read_text())
    assert any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("label_format", ["coco", "yolo", "label-studio"])
def test_interrupted_work_leaves_nothing(label_format: LabelFormat, tmp_path: Path) -> None:
    writing = write_labels(RESULTS, PACKAGE, NAMES, tmp_path / "out", label_format)
    next(writing)
    writing.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_names_are_paths_within_the_shared_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(name_images(["a/x.jpg", str(tmp_path / "a" / "b" / "y.jpg")], "yolo").values()) == ["x.jpg", "b/y.jpg"]
    assert list(name_images(["a/x.jpg", "b/x.jpg"], "yolo").values()) == ["a/x.jpg", "b/x.jpg"]
    assert name_images([], "coco") == {}


def test_images_that_would_share_a_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LineageError, match=r"a/x.jpg and a/x.png would share x.txt"):
        name_images(["a/x.jpg", "a/x.png"], "yolo")
    assert len(name_images(["a/x.jpg", "a/x.png"], "coco")) == 2
    with pytest.raises(LineageError, match=r"would share x.jpg"):
        name_images(["x.jpg", str(tmp_path / "x.jpg")], "coco")


def test_folder_must_be_new(tmp_path: Path) -> None:
    check_new_folder(tmp_path / "new" / "deep")
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(LineageError, match="expected a folder that does not exist yet"):
            check_new_folder(path)


def test_crops_are_the_pixels_of_the_boxes(tmp_path: Path) -> None:
    write(tmp_path / "out", "crops")
    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.jpg")}
    assert sorted(files) == ["cup_glass_/a_b-1.jpg", "red/a_b-2.jpg"]
    assert decode_image(files["cup_glass_/a_b-1.jpg"].read_bytes()).shape == (40, 20, 3)


@pytest.mark.parametrize("label_format", ["coco", "yolo", "label-studio", "crops"])
def test_frames_of_videos_are_beside_their_labels(label_format: LabelFormat, tmp_path: Path) -> None:
    names = name_images(["in/clip.mp4"], label_format)
    result = FrameResult(Frame("in/clip.mp4", image("").load, 12, 0.4), (100, 200), FOUND, 0, 0)
    assert list(write_labels([result], PACKAGE, names, tmp_path / "out", label_format)) == [result]
    images = list((tmp_path / "out").rglob("000012.jpg"))
    if label_format == "crops":
        assert images == []
    else:
        assert images == [tmp_path / "out/images/clip.mp4/000012.jpg"]
        assert np.abs(decode_image(images[0].read_bytes()).astype(int) - 50).max() < 3


def test_names_of_addresses_and_frames_stay_in_the_folder() -> None:
    url = "https://host/../a b/c.jpg?id=../1"
    names = name_images([url, "in/clip.mp4"], "coco")
    assert names == {url: "host/_/a_b/c.jpg_id_/1", "in/clip.mp4": "clip.mp4"}
    assert frame_name(names, Frame("in/clip.mp4", lambda: b"", 12, 1.2)) == "clip.mp4/000012.jpg"
