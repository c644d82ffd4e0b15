"""Pascal VOC's XML: `Annotations/<id>.xml`, `JPEGImages/<id>.jpg` and lists of ids, `ImageSets/Main/<split>.txt`.

The development kit counts pixels from 1, and both edges belong to the box: xmin 1 and xmax 100 are the first hundred
pixels of a row. So a box is xyxy (xmin - 1, ymin - 1, xmax, ymax) here, in which x2 - x1 is its width. `difficult`
objects are crowd. A folder of several years (`VOC2007`, `VOC2012`) is read as one set, lists of one name joined.
Classes are the lines of `classes.txt` where there is one, or else the names that occur, in the order of the alphabet,
which is VOC's own.

Source: The PASCAL VOC development kit (2012), sections 2 and 3.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import ErrorString

import numpy as np
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]  # it has no types
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]  # it has no types

from training.data.formats.label_files import Item, labels_of, missing_labels, sources
from training.data.formats.raw_labels import Labels, ObjectRow, Reading, cached_labels, whole_number
from training.data.validation.findings import Fault, Finding

EDGES = ("xmin", "ymin", "xmax", "ymax")
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_OBJECT = re.compile(rb"<object\b")


def find_roots(path: Path) -> list[Path]:
    """Return the folders that have an `Annotations` of XML files: this one, or those in it."""
    places = (path, *sorted(child for child in path.iterdir() if child.is_dir())) if path.is_dir() else ()
    found = [place for place in places if next((place / "Annotations").glob("*.xml"), None)]
    return found[:1] if path in found else found


def read_voc(path: Path) -> Reading:
    """Read a folder of VOC's layout, or one of several."""
    lists: dict[str, list[Path]] = {}
    roots = find_roots(path)
    for root in roots:
        for file in _lists(root):
            lists.setdefault(file.stem, []).append(file)
    if not lists:
        expected = roots[0] / "ImageSets" / "Main" / "train.txt"
        text = "expected lists of image ids, train.txt and val.txt; there are none; write an id a line"
        return Reading((), (), {}, (Finding("split-missing", expected, 0, text),))
    splits = {split: _read_split(path, split, files) for split, files in lists.items()}
    return _with_classes(path / "classes.txt", splits)


def _lists(root: Path) -> list[Path]:
    """Return the lists of ids; those of single classes have a second column and are passed over."""
    files = sorted((root / "ImageSets" / "Main").glob("*.txt"))
    return [file for file in files if len(_text(file).split("\n", 1)[0].split()) < 2]


def _text(file: Path) -> str:
    """Return the text of a list; what is not UTF-8 in it becomes a name that is not found."""
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _read_split(path: Path, split: str, files: Sequence[Path]) -> Labels:
    items = [item for file in files for item in _read_items(file)]
    found = cached_labels(path, split, sources(items), lambda: parse(items))
    return dataclasses.replace(found, findings=(*found.findings, *missing_labels(items)))


def _read_items(file: Path) -> Iterator[Item]:
    root = file.parents[2]
    folder = root / "JPEGImages"
    images = {image.stem: image for image in sorted(folder.iterdir())} if folder.is_dir() else {}
    for line, text in enumerate(_text(file).splitlines(), 1):
        if name := text.strip():
            labels = root / "Annotations" / f"{name}.xml"
            data = labels.read_bytes() if labels.is_file() else None
            yield Item(images.get(name, folder / f"{name}.jpg"), file, line, labels, data)


def parse(items: Sequence[Item]) -> Labels:
    """Read the labels of these images; what cannot be used is left out and told in the findings."""
    sizes: list[tuple[int, int]] = []
    objects: list[ObjectRow] = []
    findings: list[Finding] = []
    classes: dict[str, int] = {}  # as they come; `_with_classes` puts them in order
    for i, item in enumerate(items):
        try:
            root = Element("annotation") if item.data is None else _document(item.data)
        except Fault as fault:
            findings.append(fault.at(item.labels))
            root = Element("annotation")
        sizes.append((_side(root, "height"), _side(root, "width")))
        entries = root.findall("object")
        for entry, line in zip(entries, _object_lines(item.data or b"", len(entries)), strict=True):
            try:
                objects.append(_object(i, entry, line, classes))
            except Fault as fault:
                findings.append(fault.at(item.labels, line))
    names = {number: name for name, number in classes.items()}
    return labels_of(items, objects, findings, sizes=sizes, classes=names)


def _document(data: bytes) -> Element:
    if not data.strip():
        raise Fault("file-empty", "expected the labels of an image; the file is empty; write it again")
    try:
        root: Element = fromstring(data)
    except ParseError as error:
        line, _ = error.position
        raise Fault("invalid-xml", f"expected XML; {ErrorString(error.code)}; write the file again", line) from None
    except DefusedXmlException as error:
        raise Fault("invalid-xml", f"expected XML without entities; {error}; write the file again") from None
    return root


def _side(root: Element, side: str) -> int:
    """Return the height or width that a file tells; some leave it 0."""
    return whole_number(root.findtext(f"size/{side}", "0")) or 0


def _object_lines(data: bytes, count: int) -> list[int]:
    """Return the line of each object of a file, 0 where they cannot be told."""
    if b"<!--" in data:
        data = _COMMENT.sub(lambda match: b"\n" * match[0].count(b"\n"), data)
    lines = [data.count(b"\n", 0, match.start()) + 1 for match in _OBJECT.finditer(data)]
    return lines if len(lines) == count else [0] * count


def _object(image: int, entry: Element, line: int, classes: dict[str, int]) -> ObjectRow:
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise Fault("field-missing", "object: expected the name of its class; there is none; add it")
    texts = [(entry.findtext(f"bndbox/{edge}") or "").strip() for edge in EDGES]
    if not all(texts):
        missing = EDGES[texts.index("")]
        raise Fault("field-missing", f"{name}: expected bndbox with {', '.join(EDGES)}; {missing} is missing; add it")
    try:
        left, top, right, bottom = map(float, texts)
    except ValueError:
        raise Fault("number", f"{name}: bndbox: expected numbers; got {', '.join(texts)}; write it again") from None
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise Fault("number", f"{name}: bndbox: expected finite numbers; got {', '.join(texts)}; write it again")
    difficult = (entry.findtext("difficult") or "").strip() == "1"
    box = (left - 1, top - 1, right, bottom)
    return ObjectRow(image, classes.setdefault(name, len(classes)), box, difficult, line=line)


def _with_classes(listed: Path, splits: dict[str, Labels]) -> Reading:
    """Give a class the same number in all splits."""
    occurring = {name for labels in splits.values() for name in labels.class_names.tolist()}
    names = tuple(sorted(occurring))
    if listed.is_file():
        names = tuple(filter(None, map(str.strip, _text(listed).splitlines())))
    numbers = {name: i for i, name in enumerate(names)}
    ordered = {split: _renumbered(labels, numbers, listed) for split, labels in splits.items()}
    findings = (
        [] if names else [Finding("no-objects", listed.parent, 0, "expected objects with a class; there are none")]
    )
    return Reading(names, tuple(range(len(names))), ordered, tuple(findings))


def _renumbered(labels: Labels, numbers: Mapping[str, int], listed: Path) -> Labels:
    new = np.array([numbers.get(name, -1) for name in labels.class_names.tolist()], dtype=np.int64)
    categories = new[labels.categories] if len(new) else labels.categories
    unknown = np.flatnonzero(categories < 0)
    places = labels.object_places(unknown.tolist())
    found = zip(places, labels.class_names[labels.categories[unknown]].tolist(), strict=True)
    text = f"expected a class of {listed}; it is not there; add it, or mend the name"
    findings = [Finding("unknown-category", *place, f"{name}: {text}") for place, name in found]
    return dataclasses.replace(labels, categories=categories, findings=(*labels.findings, *findings))
