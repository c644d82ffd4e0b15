"""Build records from raw labels and image headers, and check that both agree.

Label files may declare the size of the image their boxes were drawn on. If EXIF rotates an image by 90 degrees, that
size shows whether boxes refer to the stored or to the displayed image. Boxes of the stored image are rotated too. The
displayed image is assumed without a declared size, for squares and for half turns, as annotation tools show it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Size
from training.data.dataset import Record, Split
from training.data.formats.raw_labels import Location, RawDataset, RawLabels
from training.data.image_info import ImageInfo
from training.data.validation.box_checks import Boxes, Mask, check_boxes
from training.data.validation.findings import Finding


def build_split(
    name: str, labels: RawLabels, infos: Sequence[ImageInfo], raw: RawDataset
) -> tuple[Split, list[Finding]]:
    """Return the split that labels and image headers make, and its findings.

    Images and objects with errors are dropped. Boxes are clipped to their images.
    """
    objects = labels.objects
    sizes = np.array([info.displayed for info in infos], dtype=np.float64).reshape(-1, 2)
    limits = sizes[objects.image_index][:, [1, 0, 1, 0]]
    boxes = _to_pixels(labels, infos, limits)
    readable = np.array(
        [not info.error and _size_matches(labels, i, info) for i, info in enumerate(infos)], dtype=np.bool_
    )
    checked = readable[objects.image_index] & np.isin(objects.category, raw.category_ids)
    box_findings, valid = check_boxes(labels, boxes, limits, checked)
    records = _build_records(labels, infos, np.clip(boxes, 0, limits), valid, raw.category_ids)
    hashes = [info.sha256 for info in infos if not info.error]
    split = Split(name, records, fingerprint(records, hashes, raw.class_names))
    return split, [*labels.findings, *_check_images(labels, infos), *box_findings, *_image_notes(labels, infos)]


def apply_orientation(boxes: Boxes, stored: Size, orientation: int) -> Boxes:
    """Transform boxes (N, 4) of an image of `stored` size by its EXIF orientation, 1 to 8."""
    height, width = stored
    x1, y1, x2, y2 = boxes.T
    if orientation in (2, 3, 7, 8):
        x1, x2 = width - x2, width - x1
    if orientation in (3, 4, 6, 7):
        y1, y2 = height - y2, height - y1
    return np.stack((y1, x1, y2, x2) if orientation >= 5 else (x1, y1, x2, y2), axis=-1)


def fingerprint(records: Sequence[Record], image_hashes: Sequence[str], class_names: Sequence[str]) -> str:
    """Return the SHA-256 of the content that training uses, independent of location and format.

    It covers class names, image bytes, ids, sizes, boxes, classes, crowd flags and areas, in order.
    """
    digest = hashlib.sha256("\n".join(class_names).encode())
    for record, image_hash in zip(records, image_hashes, strict=True):
        digest.update(f"{image_hash} {record.image_id} {record.size} {len(record.boxes)}\n".encode())
        for array in (record.boxes, record.class_ids, record.crowd, record.areas):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _to_pixels(labels: RawLabels, infos: Sequence[ImageInfo], limits: Boxes) -> Boxes:
    if labels.normalized:
        return labels.objects.box * limits
    boxes = labels.objects.box.copy()
    for i, info in enumerate(infos):
        if info.orientation >= 5 and labels.images.size(i) == info.stored != info.displayed:
            rows = labels.objects.image_index == i
            boxes[rows] = apply_orientation(boxes[rows], info.stored, info.orientation)
    return boxes


def _build_records(
    labels: RawLabels, infos: Sequence[ImageInfo], boxes: Boxes, valid: Mask, category_ids: Sequence[int]
) -> tuple[Record, ...]:
    """Group the valid objects by image, keeping their order within each image."""
    if not infos:
        return ()
    images, objects = labels.images, labels.objects
    order = np.argsort(objects.image_index, kind="stable")
    order = order[valid[order]]
    ends = np.searchsorted(objects.image_index[order], np.arange(1, len(infos)))
    areas = np.where(np.isfinite(objects.area), objects.area, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    class_ids = np.searchsorted(category_ids, objects.category)
    columns = zip(
        np.split(boxes[order].astype(np.float32), ends),
        np.split(class_ids[order].astype(np.int64), ends),
        np.split(objects.crowd[order], ends),
        np.split(areas[order].astype(np.float32), ends),
        strict=True,
    )
    return tuple(
        Record(Path(path), info.displayed, *arrays, image_id)
        for path, image_id, info, arrays in zip(
            images.path.tolist(), images.image_id.tolist(), infos, columns, strict=True
        )
        if not info.error
    )


def _check_images(labels: RawLabels, infos: Sequence[ImageInfo]) -> list[Finding]:
    missing = [i for i, info in enumerate(infos) if info.error == "missing"]
    if missing and len(missing) == len(infos):
        file, _ = labels.image_locations(missing[:1])[0]
        text = f"none of the {len(infos):,} images exists; expected {labels.images.path[0]} for the first"
        return [Finding("images-missing", file, 0, f"{text}; add the images or correct their paths")]
    wrong = [i for i, info in enumerate(infos) if info.error or not _size_matches(labels, i, info)]
    locations = labels.image_locations(wrong)
    return [_image_finding(labels, i, infos[i], location) for i, location in zip(wrong, locations, strict=True)]


def _size_matches(labels: RawLabels, image: int, info: ImageInfo) -> bool:
    declared = labels.images.size(image)
    return 0 in declared or declared in (info.stored, info.displayed)


def _image_finding(labels: RawLabels, image: int, info: ImageInfo, location: Location) -> Finding:
    path = Path(labels.images.path[image])
    if info.error == "missing":
        return Finding("image-missing", *location, f"image {path} does not exist; add it or remove its entry")
    if info.error == "empty":
        return Finding("image-empty", path, 0, "image file is empty; copy it again or remove it")
    if info.error:
        return Finding("image-unreadable", path, 0, info.error)
    expected = format_size(labels.images.size(image))
    text = f"expected an image of {expected}, as its labels declare; {path} is"
    where = location if location[0].suffix == ".json" else (labels.label_file(image), 0)
    fix = "label this image again or restore the one that was labeled"
    return Finding("image-size", *where, f"{text} {format_size(info.displayed)}; {fix}")


def _image_notes(labels: RawLabels, infos: Sequence[ImageInfo]) -> list[Finding]:
    """Return one note for each special property that some images have."""
    gray = [info.colors == "gray" for info in infos]
    properties = (
        (
            "image-rotated",
            [info.orientation != 1 for info in infos],
            "rotated by EXIF, boxes are converted to the displayed orientation",
        ),
        ("image-16-bit", [info.depth > 8 for info in infos], "more than 8 bits per channel, converted to 8"),
        ("image-gray", gray if not all(gray) else [], "grayscale among color images, read as RGB"),
        ("image-cmyk", [info.colors == "cmyk" for info in infos], "CMYK, read as RGB"),
    )
    return [
        Finding(kind, Path(labels.images.path[mask.index(True)]), 0, f"{text}; such images in the split: {sum(mask):,}")
        for kind, mask, text in properties
        if any(mask)
    ]
