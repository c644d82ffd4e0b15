"""COCO's JSON (https://cocodataset.org/#format-data): a file, or a folder of files and images.

The splits of a folder are its files: `annotations/instances_*.json`, or where there are none `annotations/*.json`, or
`*.json`, or one file in each folder (`train/_annotations.coco.json`). Categories may have any ids; classes are in the
order of these.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.typed_json import shorten
from training.data.formats.json_lines import element_lines
from training.data.formats.raw_labels import ImageRow, Labels, ObjectRow, Reading, cached_labels, decode, make_labels
from training.data.validation.findings import Fault, Finding

PATTERNS = ("annotations/instances_*.json", "annotations/*.json", "*.json")
PATTERNS_OF_FOLDERS = ("*/_annotations.coco.json", "*/annotations.json", "*/labels.json")
SECTIONS = ("images", "annotations", "categories")
TRIED = 50  # images of a file that are looked for in a folder to tell whether it is theirs
Entry = Mapping[str, Any]
Faults = list[tuple[str, int, Fault]]  # section, place in it, what is wrong there


def find_files(path: Path) -> dict[str, Path]:
    """Return the label files by split; none where nothing looks like COCO."""
    if path.is_file():
        return {_split_of(path): path} if path.suffix == ".json" else {}
    for pattern in PATTERNS:
        if found := sorted(path.glob(pattern)):
            return {_split_of(file): file for file in found}
    for pattern in PATTERNS_OF_FOLDERS:
        if found := sorted(path.glob(pattern)):
            return {file.parent.name: file for file in found}
    return {}


def read_coco(path: Path) -> Reading:
    """Read a COCO file, or a folder of them."""
    files = find_files(path)
    root = _root(path)
    splits = {split: _read_split(path, root, split, file) for split, file in files.items()}
    classes, findings = _merge_classes(files, splits)
    names = tuple(classes[category] for category in sorted(classes))
    return Reading(names, tuple(sorted(classes)), splits, tuple(findings))


def _split_of(file: Path) -> str:
    return file.stem.removeprefix("instances_")


def _root(path: Path) -> Path:
    """Return the folder that images are looked for in."""
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name == "annotations" else path.parent


def _read_split(path: Path, root: Path, split: str, file: Path) -> Labels:
    data = file.read_bytes()
    labels = cached_labels(path, split, [str(file).encode(), data], lambda: parse(file, data))
    folder = _image_folder(root, split, file, labels.images)
    return dataclasses.replace(labels, images=np.array([str(folder / name) for name in labels.images], dtype=np.str_))


def _image_folder(root: Path, split: str, file: Path, names: NDArray[np.str_]) -> Path:
    """Return the first of the usual folders that holds some of the images, or the most usual one."""
    usual = (root / "images", root / split, root / "images" / split, file.parent, root / "data", root)
    holding = (folder for folder in usual if any((folder / str(name)).is_file() for name in names[:TRIED]))
    return next(holding, usual[0])


def parse(file: Path, data: bytes) -> Labels:
    """Read one file; what cannot be used is left out and told in the findings."""
    here = [str(file)]
    try:
        text = decode(data)
        document = _document(text)
    except Fault as fault:
        return make_labels([], [], here, here, findings=[fault.at(file)])
    faults: Faults = []
    classes = _categories(document, faults)
    images = _images(document, faults)
    index = {row.image_id: i for i, row in enumerate(images)}
    objects = _objects(document, index, classes, faults)
    lines = {section: element_lines(text, section) for section in {section for section, _, _ in faults}}
    findings = [fault.at(file, lines[section][at]) for section, at, fault in faults]
    return make_labels(images, objects, here, here, classes=classes, findings=findings)


def _document(text: str) -> dict[str, list[Any]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        cut = " (the file may be cut short)" if error.pos >= len(text.rstrip()) - 1 else ""
        wrong = f"expected JSON; {error.msg} at column {error.colno}{cut}; write the file again"
        raise Fault("invalid-json", wrong, error.lineno) from None
    except (RecursionError, ValueError) as error:  # lists in lists in lists, or a number of thousands of digits
        raise Fault("invalid-json", f"expected JSON of a dataset; {error}; write the file again") from None
    if not isinstance(document, dict):
        raise Fault("field-missing", "expected an object with images, annotations and categories; got something else")
    for section in SECTIONS:
        if not isinstance(document.get(section), list):
            came = "another type" if section in document else "it is missing"
            raise Fault("field-missing", f"{section}: expected a list; {came}; a COCO file of objects has {SECTIONS}")
    return document


def _categories(document: dict[str, list[Any]], faults: Faults) -> dict[int, str]:
    classes: dict[int, str] = {}
    for at, entry in enumerate(document["categories"]):
        try:
            category, name = _whole(entry, "id"), _text(entry, "name")
            if category in classes or name in classes.values():
                twice = f"category {category} {name!r}: expected ids and names that are there once; it is not the first"
                raise Fault("classes", f"{twice}; delete it or give it another")
            classes[category] = name
        except Fault as fault:
            faults.append(("categories", at, fault))
    return classes


def _images(document: dict[str, list[Any]], faults: Faults) -> list[ImageRow]:
    rows: dict[int, ImageRow] = {}
    for at, entry in enumerate(document["images"]):
        try:
            image_id = _whole(entry, "id")
            file = _text(entry, "file_name")
            if image_id in rows:
                other = f"image {image_id} {file!r}: {rows[image_id].file!r} has this id, too"
                raise Fault("duplicate-image-id", f"{other}; expected an id for each; give it another")
            height, width = (_whole(entry, side) if side in entry else 0 for side in ("height", "width"))
            rows[image_id] = ImageRow(file, image_id, height, width, at)
        except Fault as fault:
            faults.append(("images", at, fault))
    return list(rows.values())


def _objects(
    document: dict[str, list[Any]], images: Mapping[int, int], classes: Mapping[int, str], faults: Faults
) -> list[ObjectRow]:
    rows: list[ObjectRow] = []
    seen = set[int]()
    told = set[str]()  # a broken image is told once, and not again at each of its objects
    if len(images) < len(document["images"]):
        told.add("unknown-image")
    if len(classes) < len(document["categories"]):
        told.add("unknown-category")
    for at, entry in enumerate(document["annotations"]):
        try:
            rows.append(_object(entry, at, images, classes))
            number = entry.get("id")
            if isinstance(number, int):
                if number in seen:
                    text = f"annotation {number}: expected an id of its own; it is there before; number them anew"
                    raise Fault("duplicate-annotation-id", text)
                seen.add(number)
        except Fault as fault:
            if fault.kind not in told:
                faults.append(("annotations", at, fault))
    return rows


def _object(entry: Any, at: int, images: Mapping[int, int], classes: Mapping[int, str]) -> ObjectRow:
    image_id, category = _whole(entry, "image_id"), _whole(entry, "category_id")
    name = f"annotation {entry.get('id', f'number {at}')}"
    if image_id not in images:
        raise Fault("unknown-image", f"{name}: image {image_id} is not among the images; add it or delete this")
    if category not in classes:
        raise Fault("unknown-category", f"{name}: category {category} is not among those listed; add it or delete this")
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise Fault("field-missing", f"{name}: bbox: expected [x, y, width, height]; got {shorten(box)}; add it")
    if not all(map(_is_number, box)):
        raise Fault("number", f"{name}: bbox: expected four finite numbers; got {shorten(box)}; write it again")
    x, y, width, height = box
    area = entry.get("area")
    area = float(area) if _is_number(area) else math.nan
    return ObjectRow(images[image_id], category, (x, y, x + width, y + height), bool(entry.get("iscrowd")), area, at)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15  # false for NaN, too


def _whole(entry: Any, field: str) -> int:
    value = entry.get(field) if isinstance(entry, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    came = shorten(value) if isinstance(entry, dict) and field in entry else f"{shorten(entry)} without it"
    raise Fault("field-missing", f"{field}: expected a whole number; got {came}; write it again")


def _text(entry: Entry, field: str) -> str:
    value = entry.get(field)
    if isinstance(value, str) and value.strip():
        return value
    raise Fault("field-missing", f"{field}: expected text; got {shorten(value)}; write it again")


def _merge_classes(files: Mapping[str, Path], splits: Mapping[str, Labels]) -> tuple[dict[int, str], list[Finding]]:
    """Put the categories of all files together; an id must mean the same everywhere."""
    classes: dict[int, str] = {}
    findings = []
    for split, labels in splits.items():
        for category, name in zip(labels.class_ids.tolist(), labels.class_names.tolist(), strict=True):
            ids = {other for other, known in classes.items() if known == name}
            if classes.setdefault(category, name) != name or ids - {category}:
                other = f"{classes[category]!r}" if classes[category] != name else f"category {ids.pop()}"
                text = f"category {category} is {name!r} here and {other} in another split; expected one list for all"
                findings.append(Finding("classes-differ", files[split], 0, f"{text}; write the files anew from it"))
                break
    if splits and not classes and not any(labels.findings for labels in splits.values()):
        file = next(iter(files.values()))
        findings.append(Finding("classes", file, 0, "categories: expected at least one; the list is empty; add them"))
    return classes, findings
