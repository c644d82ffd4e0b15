"""YOLO's text files: a description in YAML, and for every image a text file with a line for each object.

A line is `class cx cy width height`, or `class x1 y1 x2 y2 x3 y3 ...` for a polygon, which counts as the box around it;
all coordinates are shares of the image's width and height, as displayed. The text file of `.../images/a/b.jpg` is
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
from training.data.formats.label_files import Item, labels_of, missing_labels, sources
from training.data.formats.raw_labels import Labels, ObjectRow, Reading, cached_labels, decode
from training.data.formats.yolo_description import Description, describe
from training.data.validation.findings import Fault, Finding

READ = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
NOT_READ = (".gif", ".heic", ".heif", ".avif", ".jp2", ".mpo", ".dng")  # pictures, too: told instead of passed over
SUFFIXES = frozenset((*READ, *NOT_READ))
NOT_LABELS = frozenset(("classes", "labels", "notes", "predefined_classes", "readme"))
BEYOND = 1.01  # a share of the image that is larger is a number of pixels
COLUMNS = "class cx cy width height, or class and three points or more of a polygon"


def read_yolo(file: Path) -> Reading:
    """Read the dataset that a YAML file describes."""
    try:
        description, findings = describe(file)
    except Fault as fault:
        return Reading((), (), {}, (fault.at(file),))
    splits = {split: _read_items(paths, description.folder) for split, paths in description.splits.items()}
    if "test" in splits and splits["test"] and not any(item.data is not None for item in splits["test"]):
        del splits["test"]
        text = "test: expected labels of its images; there are none, it is left out; add them, or take the line away"
        findings.append(Finding("test-missing", file, description.lines["test"], text))
    findings += _orphans([item for items in splits.values() for item in items])
    labels = {split: _read_split(file, description, split, items) for split, items in splits.items()}
    return Reading(description.names, tuple(range(len(description.names))), labels, tuple(findings))


def _read_items(paths: Sequence[Path], folder: Path) -> list[Item]:
    listed = [image for path in paths for image in list_images(path, folder)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_read_item, listed))


def list_images(source: Path, folder: Path) -> list[tuple[Path, Path, int]]:
    """List the images of a folder and those below it, or those that a text file names; with the source and the line."""
    if source.is_dir():
        return [(path, source, 0) for path in sorted(source.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if source.suffix.lower() != ".txt":
        return [(source, source, 0)]
    lines = enumerate(source.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1)
    return [(_named(text.strip(), source, folder), source, line) for line, text in lines if text.strip()]


def _named(name: str, source: Path, folder: Path) -> Path:
    """Return the image that a list names: its path begins at the list, or at the set's folder."""
    beside = source.parent / name
    return beside if beside.is_file() or not (folder / name).is_file() else folder / name


def _read_item(listed: tuple[Path, Path, int]) -> Item:
    image = listed[0]
    expected, beside = label_file(image), image.with_suffix(".txt")
    there = next((path for path in (expected, beside) if path.is_file()), None)
    return Item(*listed, there or expected, there.read_bytes() if there else None)


def label_file(image: Path) -> Path:
    """Return where the labels of an image are expected: its last folder `images` replaced by `labels`, or beside it."""
    folders = list(image.parent.parts)
    for i in reversed(range(len(folders))):
        if folders[i] == "images":
            folders[i] = "labels"
            break
    return Path(*folders, image.with_suffix(".txt").name)


def _read_split(file: Path, description: Description, split: str, items: Sequence[Item]) -> Labels:
    classes = len(description.names)
    made_of = chain([str(classes).encode()], sources(items))
    found = cached_labels(file, split, made_of, lambda: parse(items, classes))
    return dataclasses.replace(found, findings=(*found.findings, *missing_labels(items)))


def parse(items: Sequence[Item], classes: int) -> Labels:
    """Read the labels of these images; lines that cannot be used are left out and told in the findings."""
    objects: list[ObjectRow] = []
    findings: list[Finding] = []
    for i, item in enumerate(items):
        try:
            lines = decode(item.data).splitlines() if item.data and item.data.strip() else []
        except Fault as fault:
            findings.append(fault.at(item.labels))
            continue
        for number, line in enumerate(lines, 1):
            try:
                if columns := line.split():
                    objects.append(_object(i, columns, number, classes))
            except Fault as fault:
                findings.append(fault.at(item.labels, number))
    return labels_of(items, objects, findings, normalized=True)


def _object(image: int, columns: Sequence[str], line: int, classes: int) -> ObjectRow:
    if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
        score = "; is the last one a score? labels have none" if len(columns) == 6 else ""
        raise Fault("columns", f"expected {COLUMNS}; got {len(columns)} columns{score}; write the line again")
    try:
        class_id, *numbers = map(float, columns)
    except ValueError:
        raise Fault("number", f"expected numbers; got {shorten(' '.join(columns))}; write the line again") from None
    if not all(map(math.isfinite, (class_id, *numbers))):
        raise Fault("number", f"expected finite numbers; got {shorten(' '.join(columns))}; write the line again")
    if class_id not in range(classes):
        known = f"a whole number from 0 to {classes - 1}, as many as there are names"
        raise Fault("class-range", f"class: expected {known}; got {columns[0]}; mend it, or add the name")
    if max(map(abs, numbers)) > BEYOND:
        what = f"expected shares of the image's size, from 0 to 1; got {shorten(' '.join(columns[1:]))}"
        raise Fault("box-not-normalized", f"{what}; if they are pixels, divide by width and height")
    return ObjectRow(image, int(class_id), _corners(numbers), line=line)


def _corners(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    if len(numbers) > 4:
        xs, ys = numbers[::2], numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)
    cx, cy, width, height = numbers
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def _orphans(items: Sequence[Item]) -> list[Finding]:
    """Tell the label files whose image is not there."""
    expected = {item.labels for item in items}
    folders = {item.labels.parent: item.image.parent for item in items if item.data is not None}
    findings = []
    for folder, images in sorted(folders.items()):
        stems = {path.stem for path in images.iterdir()} - {path.stem for path in images.glob("*.txt")}
        for path in sorted(set(folder.glob("*.txt")) - expected):
            if path.stem not in stems and path.stem.lower() not in NOT_LABELS:
                text = f"expected an image {images / path.stem} with a suffix such as .jpg; there is none"
                findings.append(Finding("label-orphan", path, 0, f"{text}; add it, or delete the labels"))
    return findings
