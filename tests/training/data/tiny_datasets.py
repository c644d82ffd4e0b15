"""Small valid datasets of every format, to be broken one way at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Record

HEIGHT, WIDTH = 48, 64
CLASSES = ("ant", "bee")
# Class and box (xyxy pixels) of every object of every image.
TRUTH: dict[str, list[list[tuple[int, tuple[int, int, int, int]]]]] = {
    "train": [[(0, (8, 6, 40, 30))], [(1, (0, 0, 16, 12)), (0, (32, 24, 64, 48))], []],
    "val": [[(1, (16, 12, 48, 36))], [(0, (4, 4, 20, 20))]],
}
Documents = dict[str, dict[str, Any]]


def noise(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Return a unique image, coarse enough to survive JPEG compression."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def write_image(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(path.suffix, pixels)
    assert encoded
    path.write_bytes(data.tobytes())


def image_name(split: str, index: int) -> str:
    return f"{split}_{index}.jpg"


def make_coco(root: Path, change: Callable[[Documents], object] = lambda documents: None) -> Path:
    """Write `annotations/{train,val}.json` with one entry per line and category ids 3 and 7, and `images/`."""
    documents = {split: _coco_document(root, split) for split in TRUTH}
    change(documents)
    for split, document in documents.items():
        write_coco(root / "annotations" / f"{split}.json", document)
    return root


def write_coco(path: Path, document: dict[str, Any]) -> None:
    lines = [f'"{key}": [\n' + ",\n".join(map(json.dumps, entries)) + "\n]" for key, entries in document.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _coco_document(root: Path, split: str) -> dict[str, Any]:
    images, annotations = [], []
    for index, objects in enumerate(TRUTH[split]):
        image_id = index + 10 * (split == "val") + 1
        write_image(root / "images" / image_name(split, index), noise(image_id))
        images.append({"id": image_id, "file_name": image_name(split, index), "height": HEIGHT, "width": WIDTH})
        for class_id, (left, top, right, bottom) in objects:
            box = [left, top, right - left, bottom - top]
            entry = {"id": len(annotations) + 1, "image_id": image_id, "category_id": (3, 7)[class_id], "bbox": box}
            annotations.append({**entry, "area": box[2] * box[3] / 2, "iscrowd": 0})
    categories = [{"id": 7, "name": "bee"}, {"id": 3, "name": "ant"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def make_yolo(root: Path) -> Path:
    """Write `data.yaml`, `images/{train,val}` and `labels/{train,val}`."""
    for split, images in TRUTH.items():
        for index, objects in enumerate(images):
            write_image(root / "images" / split / image_name(split, index), noise(index + 10 * (split == "val") + 1))
            labels = root / "labels" / split / f"{split}_{index}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(yolo_line(*entry) for entry in objects))
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnc: 2\nnames: [ant, bee]\n")
    return root


def yolo_line(class_id: int, box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    fractions = (
        (left + right) / 2 / WIDTH,
        (top + bottom) / 2 / HEIGHT,
        (right - left) / WIDTH,
        (bottom - top) / HEIGHT,
    )
    return f"{class_id} {' '.join(f'{fraction:.8f}' for fraction in fractions)}\n"


def make_voc(root: Path) -> Path:
    """Write `Annotations`, `ImageSets/Main` and `JPEGImages`."""
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for split, images in TRUTH.items():
        for index, objects in enumerate(images):
            name = image_name(split, index)
            write_image(root / "JPEGImages" / name, noise(index + 10 * (split == "val") + 1))
            (root / "Annotations" / name).with_suffix(".xml").write_text(voc_document(name, objects))
        ids = [f"{split}_{index}\n" for index in range(len(images))]
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(ids))
    return root


def voc_document(name: str, objects: list[tuple[int, tuple[int, int, int, int]]]) -> str:
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    entries = "\n".join(voc_object(CLASSES[class_id], *box) for class_id, box in objects)
    return f"<annotation>\n<filename>{name}</filename>\n{size}\n{entries}\n</annotation>\n"


def voc_object(label: str, left: int, top: int, right: int, bottom: int, difficult: int = 0) -> str:
    edges = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
    box = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges.items())
    return f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"


def replace_line(path: Path, number: int, line: str) -> None:
    """Replace a line of a text file, counted from 1."""
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines) + "\n")


def write_yaml(root: Path, text: str) -> None:
    (root / "data.yaml").write_text(text)


def labeled_boxes(record: Record) -> list[tuple[int, tuple[float, ...]]]:
    """Return class and box of each object."""
    return [(c, tuple(box)) for c, box in zip(record.class_ids.tolist(), record.boxes.tolist(), strict=True)]
