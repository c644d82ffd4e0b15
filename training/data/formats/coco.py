"""COCO JSON (https://cocodataset.org/#format-data): one file, or a folder of files and images.

Each file of a folder is a split: `annotations/instances_*.json`, or else `annotations/*.json`, or else `*.json`, or
else one file in each folder (`train/_annotations.coco.json`). Category ids may be any integers. Classes are sorted by
id.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.contract.typed_json import shorten
from training.data.dataset import is_test_name
from training.data.formats.folders import is_hidden, visible
from training.data.formats.json_lines import element_lines
from training.data.formats.listed_paths import locate
from training.data.formats.raw_labels import (
    ImageRow,
    ObjectRow,
    RawDataset,
    RawLabels,
    cached_labels,
    decode,
    make_labels,
    parse_flag,
    parse_integer,
    require_pixels,
)
from training.data.validation.findings import Finding, LabelError

PATTERNS = ("annotations/instances_*.json", "annotations/*.json", "*.json")
FOLDER_PATTERNS = ("*/_annotations.coco.json", "*/annotations.json", "*/labels.json")
SECTIONS = ("images", "annotations", "categories")
NO_ANNOTATIONS = "annotations: expected a list; it is missing; export the dataset as COCO again"
JSONObject = Mapping[str, Any]
Errors = list[tuple[str, int, LabelError]]  # section, index in it, error


def find_files(path: Path) -> dict[str, Path]:
    """Return the label files by split, empty if none looks like COCO."""
    if path.is_file():
        return {_split_name(path): path} if path.suffix == ".json" else {}
    for pattern in PATTERNS:
        if files := visible(path.glob(pattern)):
            return {_split_name(file): file for file in files}
    for pattern in FOLDER_PATTERNS:
        if files := [file for file in visible(path.glob(pattern)) if not is_hidden(file.parent.name)]:
            return {file.parent.name: file for file in files}
    return {}


def read_coco(path: Path) -> RawDataset:
    """Read a COCO file, or a folder of them."""
    files = find_files(path)
    root = _image_root(path)
    splits = {split: _read_split(path, root, split, file) for split, file in files.items()}
    ignored = _unlabeled_tests(files, splits)
    splits = {split: labels for split, labels in splits.items() if files[split] not in ignored}
    classes, findings = _merge_classes(files, splits)
    findings += ignored.values()
    names = tuple(classes[category] for category in sorted(classes))
    return RawDataset(names, tuple(sorted(classes)), splits, tuple(findings))


def _split_name(file: Path) -> str:
    return file.stem.removeprefix("instances_")


def _image_root(path: Path) -> Path:
    """Return the folder that contains the image folders."""
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name == "annotations" else path.parent


def _read_split(path: Path, root: Path, split: str, file: Path) -> RawLabels:
    data = file.read_bytes()
    labels = cached_labels(path, split, [str(file).encode(), data], lambda: parse(file, data))
    folders = (root / "images", root / split, root / "images" / split, file.parent, root / "data", root)
    paths = np.array(list(map(str, locate(labels.images.path.tolist(), folders))), dtype=np.str_)
    return dataclasses.replace(labels, images=dataclasses.replace(labels.images, path=paths))


def _unlabeled_tests(files: Mapping[str, Path], splits: Mapping[str, RawLabels]) -> dict[Path, Finding]:
    """Return a warning for each test split whose file has no list of annotations, as of COCO's own."""
    text = "test split without annotations, it is ignored; add them or remove the file"
    return {
        files[split]: Finding("test-missing", files[split], 0, text)
        for split, labels in splits.items()
        if is_test_name(split.removeprefix("image_info_")) and [f.text for f in labels.findings] == [NO_ANNOTATIONS]
    }


def parse(file: Path, data: bytes) -> RawLabels:
    """Parse one file, skipping invalid entries and reporting them as findings."""
    try:
        text = decode(data)
        document = _parse_document(text)
    except LabelError as error:
        return make_labels([], [], findings=[error.at(file)])
    errors: Errors = []
    classes = _parse_categories(document, errors)
    images = _parse_images(file, document, errors)
    rows = {row.image_id: i for i, row in enumerate(images)}
    objects = _parse_objects(document, rows, classes, errors)
    lines = {section: element_lines(text, section) for section in {section for section, _, _ in errors}}
    findings = [error.at(file, lines[section][index]) for section, index, error in errors]
    return make_labels(images, objects, classes=classes, findings=findings)


def _parse_document(text: str) -> dict[str, list[Any]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        truncated = " (the file may be truncated)" if error.pos >= len(text.rstrip()) - 1 else ""
        message = f"invalid JSON: {error.msg} at column {error.colno}{truncated}; write or copy the file again"
        raise LabelError("invalid-json", message, error.lineno) from None
    except RecursionError:
        raise LabelError("invalid-json", "JSON is nested too deeply; write the file again") from None
    except ValueError:  # Python limits the digits of an integer
        raise LabelError("invalid-json", "a number has thousands of digits; write the file again") from None
    if not isinstance(document, dict):
        expected = "expected an object with images, annotations and categories"
        raise LabelError("field-missing", f"{expected}; got {shorten(document)}; export the dataset as COCO again")
    for section in SECTIONS:
        if not isinstance(document.get(section), list):
            got = f"got {shorten(document[section])}" if section in document else "it is missing"
            raise LabelError("field-missing", f"{section}: expected a list; {got}; export the dataset as COCO again")
    return document


def _parse_categories(document: dict[str, list[Any]], errors: Errors) -> dict[int, str]:
    classes: dict[int, str] = {}
    spare = _spare_categories(document)
    for index, entry in enumerate(document["categories"]):
        if index in spare:
            continue
        try:
            category, name = _integer(entry, "id"), _text(entry, "name")
            if category in classes or name in classes.values():
                text = f"category {category} {name!r}: an earlier category has this id or name"
                raise LabelError("classes", f"{text}; delete it or change its id and name")
            classes[category] = name
        except LabelError as error:
            errors.append(("categories", index, error))
    return classes


def _spare_categories(document: dict[str, list[Any]]) -> set[int]:
    """Return the positions of categories without objects whose name occurs again below, as Roboflow's root category."""
    entries = [entry if isinstance(entry, dict) else {} for entry in document["categories"]]
    names = [str(entry.get("name")) for entry in entries]
    repeated = {i for i, name in enumerate(names) if name in names[i + 1 :]} if len(set(names)) < len(names) else set()
    used = {str(e.get("category_id")) for e in document["annotations"] if isinstance(e, dict)} if repeated else set()
    return {i for i in repeated if str(entries[i].get("id")) not in used}


def _parse_images(file: Path, document: dict[str, list[Any]], errors: Errors) -> list[ImageRow]:
    rows: dict[int, ImageRow] = {}
    for index, entry in enumerate(document["images"]):
        try:
            image_id = _integer(entry, "id")
            name = _text(entry, "file_name")
            if image_id in rows:
                text = f"image {image_id} {name!r}: {rows[image_id].path!r} has the same id; give it another"
                raise LabelError("duplicate-image-id", text)
            height, width = (_integer(entry, side) if entry.get(side) else 0 for side in ("height", "width"))
            rows[image_id] = ImageRow(name, image_id, str(file), index, str(file), height, width)
        except LabelError as error:
            errors.append(("images", index, error))
    return list(rows.values())


def _parse_objects(
    document: dict[str, list[Any]], images: Mapping[int, int], classes: Mapping[int, str], errors: Errors
) -> list[ObjectRow]:
    rows: list[ObjectRow] = []
    seen_ids = set[int]()
    suppressed = set[str]()  # an invalid image or category is reported once, not again for each of its objects
    if len(images) < len(document["images"]):
        suppressed.add("unknown-image")
    if len(classes) < len(document["categories"]):
        suppressed.add("unknown-category")
    for index, entry in enumerate(document["annotations"]):
        try:
            rows.append(_parse_object(entry, index, images, classes))
            _check_id(entry, seen_ids)
        except LabelError as error:
            if error.kind not in suppressed:
                errors.append(("annotations", index, error))
    return rows


def _check_id(annotation: JSONObject, seen_ids: set[int]) -> None:
    number = annotation.get("id")
    if not isinstance(number, int):
        return
    if number in seen_ids:
        text = f"annotation {number}: an earlier annotation has this id; number the annotations again"
        raise LabelError("duplicate-annotation-id", text)
    seen_ids.add(number)


def _parse_object(entry: Any, index: int, images: Mapping[int, int], classes: Mapping[int, str]) -> ObjectRow:
    image_id, category = _integer(entry, "image_id"), _integer(entry, "category_id")
    name = f"annotation {entry.get('id', f'number {index}')}"
    if image_id not in images:
        text = f"{name}: image {image_id} is not in images; add it or delete the annotation"
        raise LabelError("unknown-image", text)
    if category not in classes:
        text = f"{name}: category {category} is not in categories; add it or delete the annotation"
        raise LabelError("unknown-category", text)
    x, y, width, height = _bounding_box(entry, name)
    xyxy = (x, y, x + width, y + height)
    require_pixels(f"{name}: bbox", xyxy)
    area = entry.get("area")
    area = float(area) if _is_number(area) else math.nan
    crowd = parse_flag(entry.get("iscrowd"))
    if crowd is None:
        text = f"{name}: iscrowd: expected 0 or 1; got {shorten(entry['iscrowd'])}; correct it"
        raise LabelError("field-missing", text)
    return ObjectRow(images[image_id], category, xyxy, crowd, area, index)


def _bounding_box(entry: JSONObject, name: str) -> Sequence[float]:
    """Return `bbox` as x, y, width and height, or the bounding box of `segmentation` if there is none."""
    box = entry.get("bbox") or _polygon_box(entry.get("segmentation"))
    if not isinstance(box, list) or len(box) != 4:
        text = f"{name}: bbox: expected [x, y, width, height]; got {shorten(entry.get('bbox'))}; correct it"
        raise LabelError("field-missing", text)
    if not all(map(_is_number, box)):
        raise LabelError("number", f"{name}: bbox: expected four finite numbers; got {shorten(box)}; correct it")
    return box


def _polygon_box(polygons: object) -> list[float] | None:
    """Return the bounding box of a list of polygons [x1, y1, x2, y2, ...], None if it is something else."""
    if not isinstance(polygons, list) or not all(isinstance(p, list) and len(p) % 2 == 0 for p in polygons):
        return None
    xs, ys = ([number for polygon in polygons for number in polygon[axis::2]] for axis in (0, 1))
    if not xs or not all(map(_is_number, xs + ys)):
        return None
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15  # NaN compares false


def _integer(entry: Any, field: str) -> int:
    value = entry.get(field) if isinstance(entry, dict) else None
    if isinstance(value, str | float) and not isinstance(value, bool):
        value = parse_integer(str(value))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    got = shorten(entry[field]) if isinstance(entry, dict) and field in entry else f"{shorten(entry)} without it"
    raise LabelError("field-missing", f"{field}: expected an integer; got {got}; correct it")


def _text(entry: JSONObject, field: str) -> str:
    value = entry.get(field)
    if isinstance(value, str) and value.strip():
        return value
    raise LabelError("field-missing", f"{field}: expected text; got {shorten(value)}; correct it")


def _merge_classes(files: Mapping[str, Path], splits: Mapping[str, RawLabels]) -> tuple[dict[int, str], list[Finding]]:
    """Merge the categories of all files, which must agree on ids and names."""
    classes: dict[int, str] = {}
    findings = []
    for split, labels in splits.items():
        for category, name in zip(labels.class_ids.tolist(), labels.class_names.tolist(), strict=True):
            ids = {other for other, known in classes.items() if known == name}
            if classes.setdefault(category, name) != name or ids - {category}:
                other = f"{classes[category]!r}" if classes[category] != name else f"category {ids.pop()}"
                text = f"category {category} is {name!r} here and {other} in another split"
                findings.append(Finding("classes-differ", files[split], 0, f"{text}; use the same list in all files"))
                break
    if splits and not classes and not any(labels.findings for labels in splits.values()):
        file = next(iter(files.values()))
        findings.append(Finding("classes", file, 0, "categories: expected at least one; got an empty list; add some"))
    return classes, findings
