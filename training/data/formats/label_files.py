"""Images with one label file each, as in the YOLO and VOC formats."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.formats.raw_labels import ImageRow, ObjectRow, RawLabels, make_labels
from training.data.validation.findings import Finding


@dataclass(frozen=True)
class LabeledImage:
    """An image and its label file."""

    image: Path
    """Image file."""
    list_file: Path
    """Folder or text file that lists the image."""
    line: int
    """Line in the text file, 0 for a folder."""
    label_file: Path
    """Label file, or where it is expected."""
    data: bytes | None
    """Content of the label file, None if it is missing."""


def label_sources(images: Sequence[LabeledImage]) -> Iterator[bytes]:
    """Yield everything that the labels of these images depend on."""
    for image in images:
        entry = f"{image.image}\n{image.list_file}:{image.line}\n{image.label_file}"
        yield entry.encode(errors="surrogateescape")
        yield b"missing" if image.data is None else b"present" + image.data


def make_file_labels(
    images: Sequence[LabeledImage],
    objects: Sequence[ObjectRow],
    findings: Sequence[Finding],
    *,
    sizes: Sequence[tuple[int, int]] = (),
    classes: dict[int, str] | None = None,
    normalized: bool = False,
) -> RawLabels:
    """Build the tables of a split, with images numbered from 1 and `sizes` as declared heights and widths."""
    rows = [
        ImageRow(str(image.image), number, str(image.list_file), image.line, str(image.label_file), *size)
        for number, (image, size) in enumerate(zip(images, sizes or [(0, 0)] * len(images), strict=True), 1)
    ]
    return make_labels(rows, objects, classes=classes, normalized=normalized, findings=findings)


def missing_labels(images: Sequence[LabeledImage]) -> list[Finding]:
    """Report the images without label files, in one finding if none has one."""
    missing = [image for image in images if image.data is None]
    if missing and len(missing) == len(images):
        first = missing[0]
        text = f"none of the {len(images):,} images has a label file; expected {first.label_file} for the first"
        return [Finding("labels-missing", first.list_file, 0, f"{text}; add the files")]
    text = "label file {} does not exist, the image counts as empty; add the file"
    missing = [image for image in missing if os.path.isfile(image.image)]  # a missing image is reported as such
    return [Finding("label-missing", image.image, 0, text.format(image.label_file)) for image in missing]


def shared_labels(images: Sequence[LabeledImage]) -> list[Finding]:
    """Report label files that belong to several images, such as a.jpg and a.png."""
    owners: dict[Path, list[Path]] = {}
    for image in images:
        if image.data is not None:
            owners.setdefault(image.label_file, []).append(image.image)
    shared = {file: _distinct(paths) for file, paths in owners.items() if len(paths) > 1}
    return [shared_label(file, paths) for file, paths in shared.items() if len(paths) > 1]


def _distinct(paths: Sequence[Path]) -> list[Path]:
    """Return the first path of each file."""
    files: dict[str, Path] = {}
    for path in paths:
        files.setdefault(os.path.realpath(path), path)
    return list(files.values())


def shared_label(file: Path, images: Sequence[Path]) -> Finding:
    """Return the finding for a label file of several images."""
    text = f"expected the labels of one image; {' and '.join(path.name for path in images)} share them"
    return Finding("label-shared", file, 0, f"{text}; give each image its own name and label file, or delete one")
