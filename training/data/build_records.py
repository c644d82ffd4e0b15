"""Labels and images put together: records, and what is wrong with the images' sizes.

Label files tell the size of the image that their boxes were drawn on, or not. Where a picture's EXIF turns it by a
quarter, that size tells which frame is meant: the stored one, and boxes are turned along, or the displayed one. Where
it cannot tell (no size, a square, half turns), the displayed one is meant, which is what annotation tools show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_zoo.contract.letterbox import Size
from training.data.dataset import Record, Split
from training.data.formats.raw_labels import Labels, Reading
from training.data.image_info import Header
from training.data.validation.box_checks import Boxes, Mask, check_boxes
from training.data.validation.findings import Finding


def assemble(name: str, labels: Labels, headers: Sequence[Header], reading: Reading) -> tuple[Split, list[Finding]]:
    """Return the split that labels and headers make, and what is wrong with it.

    Images and objects with errors are left out, boxes are clipped to their images.
    """
    sizes = np.array([header.displayed for header in headers], dtype=np.float64).reshape(-1, 2)
    limits = sizes[labels.image_index][:, [1, 0, 1, 0]]
    boxes = _in_pixels(labels, headers, limits)
    fitting = np.array([not h.fault and _size_fits(labels, i, h) for i, h in enumerate(headers)], dtype=np.bool_)
    usable = fitting[labels.image_index] & np.isin(labels.categories, reading.category_ids)
    faults, sound = check_boxes(labels, boxes, limits, usable)
    records = _records(labels, headers, np.clip(boxes, 0, limits), sound, reading.category_ids)
    content = [header.sha256 for header in headers if not header.fault]
    split = Split(name, records, fingerprint(records, content, reading.class_names))
    return split, [*labels.findings, *_image_faults(labels, headers), *faults, *_notes(labels, headers)]


def upright(boxes: Boxes, stored: Size, orientation: int) -> Boxes:
    """Turn boxes (N, 4) of a picture of `stored` size as EXIF's orientation 1..8 turns the picture."""
    height, width = stored
    x1, y1, x2, y2 = boxes.T
    if orientation in (2, 3, 7, 8):
        x1, x2 = width - x2, width - x1
    if orientation in (3, 4, 6, 7):
        y1, y2 = height - y2, height - y1
    return np.stack((y1, x1, y2, x2) if orientation >= 5 else (x1, y1, x2, y2), axis=-1)


def fingerprint(records: Sequence[Record], image_hashes: Sequence[str], class_names: Sequence[str]) -> str:
    """Return the sha256 of what training sees, wherever it lies and in whatever format.

    That is the names of classes, the bytes of the images, and ids, sizes, boxes, classes, crowd and areas, in order.
    """
    digest = hashlib.sha256("\n".join(class_names).encode())
    for record, image_hash in zip(records, image_hashes, strict=True):
        digest.update(f"{image_hash} {record.image_id} {record.size} {len(record.boxes)}\n".encode())
        for part in (record.boxes, record.class_ids, record.crowd, record.areas):
            digest.update(part.tobytes())
    return digest.hexdigest()


def _in_pixels(labels: Labels, headers: Sequence[Header], limits: Boxes) -> Boxes:
    if labels.normalized:
        return labels.boxes * limits
    boxes = labels.boxes.copy()
    for i, header in enumerate(headers):
        if header.orientation >= 5 and _told_size(labels, i) == header.stored != header.displayed:
            here = labels.image_index == i
            boxes[here] = upright(boxes[here], header.stored, header.orientation)
    return boxes


def _records(
    labels: Labels, headers: Sequence[Header], boxes: Boxes, sound: Mask, category_ids: Sequence[int]
) -> tuple[Record, ...]:
    """Deal the sound objects to their images, in the order in which they are written."""
    if not headers:
        return ()
    order = np.argsort(labels.image_index, kind="stable")
    order = order[sound[order]]
    ends = np.searchsorted(labels.image_index[order], np.arange(1, len(headers)))
    areas = np.where(np.isfinite(labels.areas), labels.areas, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    class_ids = np.searchsorted(category_ids, labels.categories)
    parts = zip(
        np.split(boxes[order].astype(np.float32), ends),
        np.split(class_ids[order].astype(np.int64), ends),
        np.split(labels.crowd[order], ends),
        np.split(areas[order].astype(np.float32), ends),
        strict=True,
    )
    files = zip(labels.images.tolist(), labels.image_ids.tolist(), headers, parts, strict=True)
    return tuple(
        Record(Path(path), header.displayed, *part, image_id)
        for path, image_id, header, part in files
        if not header.fault
    )


def _told_size(labels: Labels, image: int) -> Size:
    height, width = labels.told_sizes[image].tolist()
    return height, width


def _image_faults(labels: Labels, headers: Sequence[Header]) -> list[Finding]:
    missing = [i for i, header in enumerate(headers) if header.fault == "missing"]
    if missing and len(missing) == len(headers):
        file, _ = labels.image_places(missing[:1])[0]
        text = f"not one of {len(headers):,} images is there; expected {labels.images[0]} for the first, and so on"
        return [Finding("images-missing", file, 0, f"{text}; put them there")]
    wrong = [i for i, header in enumerate(headers) if header.fault or not _size_fits(labels, i, header)]
    places = labels.image_places(wrong)
    return [_image_fault(labels, i, headers[i], place) for i, place in zip(wrong, places, strict=True)]


def _size_fits(labels: Labels, image: int, header: Header) -> bool:
    told = _told_size(labels, image)
    return 0 in told or told in (header.stored, header.displayed)


def _image_fault(labels: Labels, image: int, header: Header, place: tuple[Path, int]) -> Finding:
    path = Path(labels.images[image])
    if header.fault == "missing":
        return Finding("image-missing", *place, f"expected the image {path}; it is not there; add it, or take it out")
    if header.fault == "empty":
        return Finding("image-empty", path, 0, "expected a picture; the file is empty; copy it again, or take it out")
    if header.fault:
        return Finding("image-unreadable", path, 0, header.fault)
    (height, width), (told_height, told_width) = header.displayed, _told_size(labels, image)
    text = f"expected a picture of {told_height} x {told_width}, as its labels tell; {path} is {height} x {width}"
    where = place if place[0].suffix == ".json" else (labels.written(image), 0)
    return Finding("image-size", *where, f"{text}; label the picture that is used, or put the other in its place")


def _notes(labels: Labels, headers: Sequence[Header]) -> list[Finding]:
    """Tell what is particular about some of the pictures, once for each kind."""
    gray = [header.colors == "gray" for header in headers]
    particular = (
        (
            "image-rotated",
            [h.orientation != 1 for h in headers],
            "turned by EXIF, its boxes turned along",
        ),
        ("image-16-bit", [h.depth > 8 for h in headers], "more than 8 bits a channel, rounded to 8"),
        ("image-gray", gray if not all(gray) else [], "grayscale among others in color, read as RGB"),
        ("image-cmyk", [h.colors == "cmyk" for h in headers], "CMYK, read as RGB"),
    )
    return [
        Finding(kind, Path(labels.images[mask.index(True)]), 0, f"{what}; it is the first of {sum(mask):,} such images")
        for kind, mask, what in particular
        if any(mask)
    ]
