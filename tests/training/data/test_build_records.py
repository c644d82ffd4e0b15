"""Records of labels and images: areas, clipping, EXIF orientation, fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_zoo.contract.images import decode_image
from tests.images import encode, exif, with_exif
from tests.training.data.tiny_datasets import (
    TRUTH,
    labeled_boxes,
    make_coco,
    make_voc,
    make_yolo,
    noise,
    replace_line,
    write_coco,
    write_image,
    write_yaml,
    yolo_line,
)
from training.data.open import open_dataset


@pytest.mark.parametrize("make", [make_yolo, make_voc])
def test_areas_default_to_box_areas(make: Callable[[Path], Path], tmp_path: Path) -> None:
    record = open_dataset(make(tmp_path / "set")).split("train").records[1]
    np.testing.assert_allclose(record.areas, [16 * 12, 32 * 24], rtol=1e-4)


def test_boxes_are_clipped_to_the_image(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    replace_line(root / "labels/train/train_0.txt", 1, yolo_line(0, (-16, 12, 16, 60)))
    assert labeled_boxes(open_dataset(root).split("train").records[0]) == [(0, (0, 12, 16, 48))]


@pytest.mark.parametrize(
    ("frame", "orientation"),
    [*(("displayed", i) for i in range(1, 9)), *(("stored", i) for i in (1, 5, 6, 7, 8))],  # others are ambiguous
)
def test_boxes_follow_exif_orientation(frame: str, orientation: int, tmp_path: Path) -> None:
    """Draw a white box on black: the record's box must be where the decoded image is white."""
    left, top, right, bottom = 8, 4, 24, 12
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[top:bottom, left:right] = 255
    plain = encode(Image.fromarray(pixels), "jpeg", quality=100, subsampling=0)
    root = make_coco(tmp_path / "set")
    path = root / "images" / "train_0.jpg"
    path.write_bytes(with_exif(plain, exif(orientation)))
    white = decode_image(path.read_bytes())[:, :, 0] > 128
    ys, xs = np.nonzero(white)
    truth = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]
    x1, y1, x2, y2 = [left, top, right, bottom] if frame == "stored" else truth
    height, width = (32, 64) if frame == "stored" else white.shape
    document = json.loads((root / "annotations" / "train.json").read_text())
    document["images"][0] |= {"height": height, "width": width}
    document["annotations"][0]["bbox"] = [x1, y1, x2 - x1, y2 - y1]
    write_coco(root / "annotations" / "train.json", document)
    record = open_dataset(root).split("train").records[0]
    assert record.size == white.shape
    assert record.boxes[0].tolist() == truth


def test_fingerprint_depends_on_content_but_not_location(tmp_path: Path) -> None:
    first, second = (open_dataset(make_coco(tmp_path / name)) for name in "ab")
    for name in TRUTH:
        assert first.split(name).fingerprint == second.split(name).fingerprint
    assert first.split("train").fingerprint != first.split("val").fingerprint


def test_fingerprint_ignores_white_space_in_labels(tmp_path: Path) -> None:
    plain, spaced = make_yolo(tmp_path / "a"), make_yolo(tmp_path / "b")
    file = spaced / "labels/train/train_1.txt"
    file.write_text(file.read_text().replace(" ", "   ") + "\n")
    assert open_dataset(plain).split("train").fingerprint == open_dataset(spaced).split("train").fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write_image(root / "images/train/train_0.jpg", noise(77)),
        lambda root: replace_line(root / "labels/train/train_0.txt", 1, yolo_line(1, (8, 6, 40, 30))),
        lambda root: replace_line(root / "labels/train/train_0.txt", 1, yolo_line(0, (8, 6, 40, 31))),
        lambda root: write_yaml(root, "train: images/train\nval: images/val\nnames: [ant, wasp]\n"),
        lambda root: (root / "images/train/train_2.jpg").unlink() or (root / "labels/train/train_2.txt").unlink(),
    ],
    ids=["pixels", "class", "box", "name", "image"],
)
def test_fingerprint_changes_with_content(change: Callable[[Path], object], tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "set")
    before = open_dataset(root).split("train").fingerprint
    change(root)
    assert open_dataset(root).split("train").fingerprint != before
