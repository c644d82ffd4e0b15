"""Pascal VOC XML: `Annotations/<id>.xml`, `JPEGImages/<id>.jpg` and lists of ids, `ImageSets/Main/<split>.txt`.

VOC counts pixels from 1, and both edges belong to the box: xmin 1 and xmax 100 are the first hundred pixels of a row.
The box is read as xyxy (xmin - 1, ymin - 1, xmax, ymax), so that x2 - x1 is its width. `difficult` objects are crowd.
Several years (`VOC2007`, `VOC2012`) in one folder are one dataset; their lists of the same name are joined.
Classes are the lines of `classes.txt` if it exists, or else the names that occur, sorted as in VOC's own list.

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

from training.data.formats.label_files import LabeledImage, label_sources, make_file_labels, missing_labels
from training.data.formats.raw_labels import ObjectRow, RawDataset, RawLabels, cached_labels, parse_integer
from training.data.validation.findings import Finding, LabelError

EDGES = ("xmin", "ymin", "xmax", "ymax")
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_OBJECT = re.compile(rb"<object\b")


def find_roots(path: Path) -> list[Path]:
    """Return the folders with XML files in `Annotations`: `path` itself, or else its subfolders."""
    folders = (path, *sorted(child for child in path.iterdir() if child.is_dir())) if path.is_dir() else ()
    roots = [folder for folder in folders if next((folder / "Annotations").glob("*.xml"), None)]
    return roots[:1] if path in roots else roots


def read_voc(path: Path) -> RawDataset:
    """Read a folder in VOC layout, or a folder of several."""
    lists: dict[str, list[Path]] = {}
    roots = find_roots(path)
    for root in roots:
        for file in _find_lists(root):
            lists.setdefault(file.stem, []).append(file)
    if not lists:
        expected = roots[0] / "ImageSets" / "Main" / "train.txt"
        text = "no lists of image ids; add train.txt and val.txt with one id per line"
        return RawDataset((), (), {}, (Finding("split-missing", expected, 0, text),))
    splits = {split: _read_split(path, split, files) for split, files in lists.items()}
    return _assign_class_ids(path / "classes.txt", splits)


def _find_lists(root: Path) -> list[Path]:
    """Return the lists of image ids, without the two-column lists of single classes."""
    files = sorted((root / "ImageSets" / "Main").glob("*.txt"))
    return [file for file in files if len(_read_text(file).split("\n", 1)[0].split()) < 2]


def _read_text(file: Path) -> str:
    """Read a list. Names that are not UTF-8 are reported later as missing images."""
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _read_split(path: Path, split: str, files: Sequence[Path]) -> RawLabels:
    images = [image for file in files for image in _read_list(file)]
    labels = cached_labels(path, split, label_sources(images), lambda: parse(images))
    return dataclasses.replace(labels, findings=(*labels.findings, *missing_labels(images)))


def _read_list(file: Path) -> Iterator[LabeledImage]:
    root = file.parents[2]
    folder = root / "JPEGImages"
    images = {image.stem: image for image in sorted(folder.iterdir())} if folder.is_dir() else {}
    for line, text in enumerate(_read_text(file).splitlines(), 1):
        if name := text.strip():
            label_file = root / "Annotations" / f"{name}.xml"
            data = label_file.read_bytes() if label_file.is_file() else None
            yield LabeledImage(images.get(name, folder / f"{name}.jpg"), file, line, label_file, data)


def parse(images: Sequence[LabeledImage]) -> RawLabels:
    """Parse the labels of images, skipping invalid entries and reporting them as findings."""
    sizes: list[tuple[int, int]] = []
    objects: list[ObjectRow] = []
    findings: list[Finding] = []
    classes: dict[str, int] = {}  # numbered by first occurrence; `_assign_class_ids` renumbers them
    for i, image in enumerate(images):
        try:
            root = Element("annotation") if image.data is None else _parse_xml(image.data)
        except LabelError as error:
            findings.append(error.at(image.label_file))
            root = Element("annotation")
        sizes.append((_declared_side(root, "height"), _declared_side(root, "width")))
        entries = root.findall("object")
        for entry, line in zip(entries, _object_lines(image.data or b"", len(entries)), strict=True):
            try:
                objects.append(_parse_object(i, entry, line, classes))
            except LabelError as error:
                findings.append(error.at(image.label_file, line))
    names = {number: name for name, number in classes.items()}
    return make_file_labels(images, objects, findings, sizes=sizes, classes=names)


def _parse_xml(data: bytes) -> Element:
    if not data.strip():
        raise LabelError("file-empty", "expected the labels of an image; got an empty file; write or copy it again")
    try:
        root: Element = fromstring(data)
    except ParseError as error:
        line, _ = error.position
        text = f"invalid XML: {ErrorString(error.code)}; write or copy the file again"
        raise LabelError("invalid-xml", text, line) from None
    except DefusedXmlException:
        text = "expected XML without entities and external references; remove its DOCTYPE"
        raise LabelError("invalid-xml", text) from None
    return root


def _declared_side(root: Element, side: str) -> int:
    """Return the declared height or width, or 0 if it is absent, as in files of some tools."""
    return parse_integer(root.findtext(f"size/{side}", "0")) or 0


def _object_lines(data: bytes, count: int) -> list[int]:
    """Return the line of each object in a file, or zeros if they cannot be determined."""
    if b"<!--" in data:
        data = _COMMENT.sub(lambda match: b"\n" * match[0].count(b"\n"), data)
    lines = [data.count(b"\n", 0, match.start()) + 1 for match in _OBJECT.finditer(data)]
    return lines if len(lines) == count else [0] * count


def _parse_object(image: int, entry: Element, line: int, classes: dict[str, int]) -> ObjectRow:
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise LabelError("field-missing", "object: class name is missing; add a <name>")
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
    difficult = (entry.findtext("difficult") or "").strip() == "1"
    box = (left - 1, top - 1, right, bottom)
    return ObjectRow(image, classes.setdefault(name, len(classes)), box, difficult, line=line)


def _assign_class_ids(class_list: Path, splits: dict[str, RawLabels]) -> RawDataset:
    """Renumber classes so that each has the same number in all splits."""
    occurring = {name for labels in splits.values() for name in labels.class_names.tolist()}
    names = tuple(sorted(occurring))
    if class_list.is_file():
        names = tuple(filter(None, map(str.strip, _read_text(class_list).splitlines())))
    class_ids = {name: i for i, name in enumerate(names)}
    renumbered = {split: _renumber(labels, class_ids, class_list) for split, labels in splits.items()}
    text = "no object has a class; label some"
    findings = () if names else (Finding("no-objects", class_list.parent, 0, text),)
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
