"""Pascal VOC XML: one file per image, in the layouts of `voc_layout`.

VOC counts pixels from 1, and both edges belong to the box: xmin 1 and xmax 100 are the first hundred pixels of a row.
The box is read as xyxy (xmin - 1, ymin - 1, xmax, ymax), so that x2 - x1 is its width. `difficult` objects are crowd.
Classes are the lines of `classes.txt` if it exists, or else the names that occur, sorted as in VOC's own list.

Source: The PASCAL VOC development kit (2012), sections 2 and 3.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from model_zoo.contract.typed_json import shorten
from training.data.formats.label_files import (
    LabeledImage,
    label_sources,
    make_file_labels,
    missing_labels,
    shared_labels,
)
from training.data.formats.listed_paths import read_lines
from training.data.formats.raw_labels import (
    ObjectRow,
    RawDataset,
    RawLabels,
    cached_labels,
    parse_flag,
    parse_integer,
    require_pixels,
)
from training.data.formats.voc_layout import (
    VOCImages,
    find_flat_folders,
    find_roots,
    list_flat_folders,
    list_roots,
)
from training.data.formats.xml_documents import UNDECODABLE, decode_xml, parse_xml
from training.data.validation.findings import Finding, LabelError

EDGES = ("xmin", "ymin", "xmax", "ymax")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_OBJECT = re.compile(r"<object\b")


def read_voc(path: Path) -> RawDataset:
    """Read a folder in VOC layout, a folder of several, or folders with XML files beside images."""
    roots = find_roots(path)
    listed = list_roots(roots) if roots else list_flat_folders(find_flat_folders(path))
    splits = {split: _read_split(path, split, images) for split, images in listed.splits.items()}
    dataset = _assign_class_ids(path / "classes.txt", splits)
    return dataclasses.replace(dataset, findings=(*dataset.findings, *_file_findings(listed)))


def _file_findings(listed: VOCImages) -> list[Finding]:
    images = [image for images in listed.splits.values() for image in images]
    return list(dict.fromkeys([*listed.findings, *shared_labels(images)]))


def _read_split(path: Path, split: str, images: Sequence[LabeledImage]) -> RawLabels:
    labels = cached_labels(path, split, label_sources(images), lambda: parse(images))
    return dataclasses.replace(labels, findings=(*labels.findings, *missing_labels(images)))


def parse(images: Sequence[LabeledImage]) -> RawLabels:
    """Parse the labels of images, skipping invalid entries and reporting them as findings."""
    sizes: list[tuple[int, int]] = []
    objects: list[ObjectRow] = []
    findings: list[Finding] = []
    classes: dict[str, int] = {}  # numbered by first occurrence; `_assign_class_ids` renumbers them
    for i, image in enumerate(images):
        text = decode_xml(image.data) if image.data is not None else "<annotation/>"
        try:
            root = parse_xml(text)
        except LabelError as error:
            findings.append(error.at(image.label_file))
            root = Element("annotation")
        sizes.append((_declared_side(root, "height"), _declared_side(root, "width")))
        entries = root.findall("object")
        for entry, line in zip(entries, _object_lines(text, len(entries)), strict=True):
            try:
                objects.append(_parse_object(i, entry, line, classes))
            except LabelError as error:
                findings.append(error.at(image.label_file, line))
    names = {number: name for name, number in classes.items()}
    return make_file_labels(images, objects, findings, sizes=sizes, classes=names)


def _declared_side(root: Element, side: str) -> int:
    """Return the declared height or width, or 0 if it is absent, as in files of some tools."""
    return parse_integer(root.findtext(f"size/{side}", "0")) or 0


def _object_lines(text: str, count: int) -> list[int]:
    """Return the line of each object in a file, or zeros if they cannot be determined."""
    if "<!--" in text:
        text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    lines = [text.count("\n", 0, match.start()) + 1 for match in _OBJECT.finditer(text)]
    return lines if len(lines) == count else [0] * count


def _parse_object(image: int, entry: Element, line: int, classes: dict[str, int]) -> ObjectRow:
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise LabelError("field-missing", "object: class name is missing; add a <name>")
    if UNDECODABLE in name:
        text = f"class name {name!r} is not text in the declared encoding, UTF-8 by default; save the file as UTF-8"
        raise LabelError("invalid-xml", text)
    difficult = parse_flag(entry.findtext("difficult"))
    if difficult is None:
        text = f"{name}: difficult: expected 0 or 1; got {shorten(entry.findtext('difficult'))}; correct it"
        raise LabelError("field-missing", text)
    box = _parse_box(entry, name)
    return ObjectRow(image, classes.setdefault(name, len(classes)), box, difficult, line=line)


def _parse_box(entry: Element, name: str) -> tuple[float, float, float, float]:
    count = len(entry.findall("bndbox"))
    if count > 1:
        text = f"{name}: expected one bndbox; got {count}; write an object for each box"
        raise LabelError("field-missing", text)
    texts = [(entry.findtext(f"bndbox/{edge}") or "").strip() for edge in EDGES]
    if not all(texts):
        missing = EDGES[texts.index("")]
        text = f"{name}: expected bndbox with {', '.join(EDGES)}; {missing} is missing; add it"
        raise LabelError("field-missing", text)
    try:
        left, top, right, bottom = map(float, texts)
    except ValueError:
        raise LabelError("number", f"{name}: bndbox: expected numbers; got {', '.join(texts)}; correct it") from None
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise LabelError("number", f"{name}: bndbox: expected finite numbers; got {', '.join(texts)}; correct it")
    require_pixels(name, (left, top, right, bottom))
    return left - 1, top - 1, right, bottom


def _assign_class_ids(class_list: Path, splits: dict[str, RawLabels]) -> RawDataset:
    """Renumber classes so that each has the same number in all splits."""
    occurring = {name for labels in splits.values() for name in labels.class_names.tolist()}
    names = tuple(sorted(occurring))
    if class_list.is_file():
        names = tuple(filter(None, read_lines(class_list)))
    class_ids = {name: i for i, name in enumerate(names)}
    renumbered = {split: _renumber(labels, class_ids, class_list) for split, labels in splits.items()}
    text = "no object has a class; label some"
    has_findings = any(labels.findings for labels in splits.values())
    findings = () if names or has_findings else (Finding("no-objects", class_list.parent, 0, text),)
    return RawDataset(names, tuple(range(len(names))), renumbered, findings)


def _renumber(labels: RawLabels, class_ids: Mapping[str, int], class_list: Path) -> RawLabels:
    """Replace class numbers by `class_ids`. Names without one get -1 and a finding for each object."""
    new_ids = np.array([class_ids.get(name, -1) for name in labels.class_names.tolist()], dtype=np.int64)
    old = labels.objects.category
    category = new_ids[old] if len(new_ids) else old
    unknown = np.flatnonzero(category < 0)
    locations = labels.object_locations(unknown.tolist())
    names = labels.class_names[old[unknown]].tolist()
    findings = [
        Finding("unknown-category", *location, f"class {name} is not in {class_list}; add it or correct the name")
        for location, name in zip(locations, names, strict=True)
    ]
    objects = dataclasses.replace(labels.objects, category=category)
    return dataclasses.replace(labels, objects=objects, findings=(*labels.findings, *findings))
