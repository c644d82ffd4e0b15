"""YOLO text files: a YAML description, and for each image a text file with one line per object.

A line is `class cx cy width height`, or `class x1 y1 x2 y2 x3 y3 ...` for a polygon, of which the bounding box is used.
Coordinates are fractions of the width and height of the displayed image. The text file of `.../images/a/b.jpg` is
`.../labels/a/b.txt`, or `b.txt` beside the image. An image without one, or with an empty one, has no objects.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from model_zoo.contract.typed_json import shorten
from training.data.formats.label_files import LabeledImage, label_sources, make_file_labels, missing_labels
from training.data.formats.raw_labels import ObjectRow, RawDataset, RawLabels, cached_labels, decode
from training.data.formats.yolo_description import Description, read_description
from training.data.validation.findings import Finding, LabelError

SUPPORTED_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
UNSUPPORTED_SUFFIXES = (".gif", ".heic", ".heif", ".avif", ".jp2", ".mpo", ".dng")  # reported rather than skipped
IMAGE_SUFFIXES = frozenset((*SUPPORTED_SUFFIXES, *UNSUPPORTED_SUFFIXES))
NON_LABEL_STEMS = frozenset(("classes", "labels", "notes", "predefined_classes", "readme"))
MAX_FRACTION = 1.01  # larger coordinates must be pixels
COLUMNS = "class cx cy width height, or class and at least three points of a polygon"


def read_yolo(file: Path) -> RawDataset:
    """Read the dataset that a YAML file describes."""
    try:
        description, findings = read_description(file)
    except LabelError as error:
        return RawDataset((), (), {}, (error.at(file),))
    splits = {split: _read_images(paths, description.folder) for split, paths in description.splits.items()}
    if "test" in splits and splits["test"] and not any(image.data is not None for image in splits["test"]):
        del splits["test"]
        text = "test: no image of this split has labels, it is ignored; add label files or remove the line"
        findings.append(Finding("test-missing", file, description.lines["test"], text))
    findings += _find_orphans([image for images in splits.values() for image in images])
    labels = {split: _read_split(file, description, split, images) for split, images in splits.items()}
    return RawDataset(description.names, tuple(range(len(description.names))), labels, tuple(findings))


def _read_images(sources: Sequence[Path], folder: Path) -> list[LabeledImage]:
    listed = [entry for source in sources for entry in list_images(source, folder)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_read_image, listed))


def list_images(source: Path, folder: Path) -> list[tuple[Path, Path, int]]:
    """List the images below a folder, or in a text file, each with the source and the line."""
    if source.is_dir():
        return [(path, source, 0) for path in sorted(source.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    if source.suffix.lower() != ".txt":
        return [(source, source, 0)]
    lines = enumerate(source.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1)
    return [(_resolve(text.strip(), source, folder), source, line) for line, text in lines if text.strip()]


def _resolve(name: str, source: Path, folder: Path) -> Path:
    """Return the path of a listed image, relative to the list or else to the dataset folder."""
    sibling = source.parent / name
    return sibling if sibling.is_file() or not (folder / name).is_file() else folder / name


def _read_image(entry: tuple[Path, Path, int]) -> LabeledImage:
    image = entry[0]
    expected = label_file(image)
    existing = next((path for path in (expected, image.with_suffix(".txt")) if path.is_file()), None)
    return LabeledImage(*entry, existing or expected, existing.read_bytes() if existing else None)


def label_file(image: Path) -> Path:
    """Return the label file of an image: its last folder `images` replaced by `labels`, or beside the image."""
    folders = list(image.parent.parts)
    for i in reversed(range(len(folders))):
        if folders[i] == "images":
            folders[i] = "labels"
            break
    return Path(*folders, image.with_suffix(".txt").name)


def _read_split(file: Path, description: Description, split: str, images: Sequence[LabeledImage]) -> RawLabels:
    classes = len(description.names)
    sources = chain([str(classes).encode()], label_sources(images))
    labels = cached_labels(file, split, sources, lambda: parse(images, classes))
    return dataclasses.replace(labels, findings=(*labels.findings, *missing_labels(images)))


def parse(images: Sequence[LabeledImage], classes: int) -> RawLabels:
    """Parse the labels of images, skipping invalid lines and reporting them as findings."""
    objects: list[ObjectRow] = []
    findings: list[Finding] = []
    for i, image in enumerate(images):
        try:
            lines = decode(image.data).splitlines() if image.data and image.data.strip() else []
        except LabelError as error:
            findings.append(error.at(image.label_file))
            continue
        for number, line in enumerate(lines, 1):
            try:
                if columns := line.split():
                    objects.append(_parse_object(i, columns, number, classes))
            except LabelError as error:
                findings.append(error.at(image.label_file, number))
    return make_file_labels(images, objects, findings, normalized=True)


def _parse_object(image: int, columns: Sequence[str], line: int, classes: int) -> ObjectRow:
    if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
        hint = "; remove the last one if it is a score" if len(columns) == 6 else "; correct the line"
        raise LabelError("columns", f"expected {COLUMNS}; got {len(columns)} columns{hint}")
    try:
        class_id, *numbers = map(float, columns)
    except ValueError:
        text = f"expected numbers; got {shorten(' '.join(columns))}; correct the line"
        raise LabelError("number", text) from None
    if not all(map(math.isfinite, (class_id, *numbers))):
        raise LabelError("number", f"expected finite numbers; got {shorten(' '.join(columns))}; correct the line")
    if class_id not in range(classes):
        text = f"class: expected an integer from 0 to {classes - 1}; got {columns[0]}; correct it or add its name"
        raise LabelError("class-range", text)
    if max(map(abs, numbers)) > MAX_FRACTION:
        text = f"expected fractions of the image size, from 0 to 1; got {shorten(' '.join(columns[1:]))}"
        raise LabelError("box-not-normalized", f"{text}; divide pixels by width and height")
    return ObjectRow(image, int(class_id), _to_xyxy(numbers), line=line)


def _to_xyxy(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    if len(numbers) > 4:
        xs, ys = numbers[::2], numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)
    cx, cy, width, height = numbers
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def _find_orphans(images: Sequence[LabeledImage]) -> list[Finding]:
    """Report label files without an image."""
    expected = {image.label_file for image in images}
    folders = {image.label_file.parent: image.image.parent for image in images if image.data is not None}
    findings = []
    for folder, image_folder in sorted(folders.items()):
        stems = {path.stem for path in image_folder.iterdir()} - {path.stem for path in image_folder.glob("*.txt")}
        for path in sorted(set(folder.glob("*.txt")) - expected):
            if path.stem not in stems and path.stem.lower() not in NON_LABEL_STEMS:
                text = f"no image {image_folder / path.stem} with a suffix such as .jpg; add it or delete the labels"
                findings.append(Finding("label-orphan", path, 0, text))
    return findings
