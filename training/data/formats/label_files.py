"""Images that have a label file each, as in YOLO's and VOC's formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.formats.raw_labels import ImageRow, Labels, ObjectRow, make_labels
from training.data.validation.findings import Finding


@dataclass(frozen=True)
class Item:
    """An image, what lists it (a folder, or a line of a text file), and its labels' file and bytes (None: missing)."""

    image: Path
    listed_by: Path
    line: int
    labels: Path
    data: bytes | None


def sources(items: Sequence[Item]) -> Iterator[bytes]:
    """Give all that the labels of these images are read from."""
    for item in items:
        yield f"{item.image}\n{item.listed_by}:{item.line}\n{item.labels}".encode(errors="surrogateescape")
        yield b"missing" if item.data is None else b"there " + item.data


def labels_of(
    items: Sequence[Item],
    objects: Sequence[ObjectRow],
    findings: Sequence[Finding],
    *,
    sizes: Sequence[tuple[int, int]] = (),
    classes: dict[int, str] | None = None,
    normalized: bool = False,
) -> Labels:
    """Put the labels of these images together; `sizes` (height, width) as told. Images are numbered from 1."""
    told = sizes or [(0, 0)] * len(items)
    images = [
        ImageRow(str(item.image), number, *size, item.line)
        for number, (item, size) in enumerate(zip(items, told, strict=True), 1)
    ]
    listed_in = [str(item.listed_by) for item in items]
    written_in = [str(item.labels) for item in items]
    return make_labels(
        images, objects, listed_in, written_in, classes=classes, normalized=normalized, findings=findings
    )


def missing_labels(items: Sequence[Item]) -> list[Finding]:
    """Tell the images without labels; once, where that is all of them."""
    without = [item for item in items if item.data is None]
    if without and len(without) == len(items):
        first = without[0]
        text = f"not one of {len(items):,} images has a label file; expected {first.labels} for the first, and so on"
        return [Finding("labels-missing", first.listed_by, 0, f"{text}; put them there")]
    text = "expected a label file {}; there is none, the image counts as empty; add it"
    return [Finding("label-missing", item.image, 0, text.format(item.labels)) for item in without]
