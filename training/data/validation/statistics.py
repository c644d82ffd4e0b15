"""What is in a dataset, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.letterbox import Size
from training.data.dataset import Dataset, Record, Split

SMALL, LARGE = 32**2, 96**2  # square pixels of an object; COCO's limits (cocodataset.org/#detection-eval)
SIZES_SHOWN = 3


@dataclass(frozen=True)
class SplitStatistics:
    """Counts of a split.

    objects: all, crowd among them. small, medium, large: by COCO's limits of the area in the image as it is. per_image:
    objects of the emptiest, the median and the fullest image. class_objects, class_images: class by class, the objects,
    and the images that have some. image_sizes: (height, width) and how many have it, the most frequent first.
    """

    name: str
    images: int
    empty_images: int
    objects: int
    crowd: int
    small: int
    medium: int
    large: int
    per_image: tuple[int, float, int]
    class_objects: tuple[int, ...]
    class_images: tuple[int, ...]
    image_sizes: tuple[tuple[Size, int], ...]


def count_split(split: Split, classes: int) -> SplitStatistics:
    """Count what is in a split of a dataset of so many classes."""
    per_image = np.array([len(record.boxes) for record in split.records] or [0])
    areas = _joined((record.areas for record in split.records), np.float32)
    class_ids = _joined((record.class_ids for record in split.records), np.int64)
    in_images = _joined((np.unique(record.class_ids) for record in split.records), np.int64)
    return SplitStatistics(
        name=split.name,
        images=len(split.records),
        empty_images=sum(not len(record.boxes) for record in split.records),
        objects=len(class_ids),
        crowd=sum(int(record.crowd.sum()) for record in split.records),
        small=int((areas < SMALL).sum()),
        medium=int(((areas >= SMALL) & (areas < LARGE)).sum()),
        large=int((areas >= LARGE).sum()),
        per_image=(int(per_image.min()), float(np.median(per_image)), int(per_image.max())),
        class_objects=tuple(np.bincount(class_ids, minlength=classes).tolist()),
        class_images=tuple(np.bincount(in_images, minlength=classes).tolist()),
        image_sizes=tuple(Counter(record.size for record in split.records).most_common()),
    )


def count_dataset(dataset: Dataset) -> list[SplitStatistics]:
    """Count what is in every split."""
    return [count_split(split, len(dataset.class_names)) for split in dataset.splits.values()]


def document(dataset: Dataset, counts: Sequence[SplitStatistics]) -> dict[str, Any]:
    """Return the numbers as a JSON-ready object."""
    prints = {"fingerprint": {split.name: split.fingerprint for split in dataset.splits.values()}}
    return {"data": str(dataset.root), "classes": dataset.class_names, **prints, "splits": [asdict(c) for c in counts]}


def tables(class_names: Sequence[str], counts: Sequence[SplitStatistics]) -> str:
    """Return the numbers as two tables for people: splits side by side, and classes below one another."""
    rows = [["", *(count.name for count in counts)]]
    rows += [[label, *cells] for label, cells in zip(_LABELS, zip(*map(_column, counts), strict=True), strict=True)]
    classes = [["class", *(f"{count.name}: objects (images)" for count in counts)]]
    for i, name in enumerate(class_names):
        classes.append([name, *(f"{count.class_objects[i]:,} ({count.class_images[i]:,})" for count in counts)])
    return f"{_table(rows)}\n\n{_table(classes)}"


_LABELS = (
    "images",
    "  without objects",
    "  sizes",
    "objects",
    "  crowd",
    "  small",
    "  medium",
    "  large",
    "  per image (min, median, max)",
)


def _column(count: SplitStatistics) -> tuple[str, ...]:
    sizes = [f"{height} x {width} ({number:,})" for (height, width), number in count.image_sizes[:SIZES_SHOWN]]
    more = [f"{len(count.image_sizes) - SIZES_SHOWN:,} more"] if len(count.image_sizes) > SIZES_SHOWN else []
    least, median, most = count.per_image
    return (
        f"{count.images:,}",
        f"{count.empty_images:,}",
        ", ".join(sizes + more),
        f"{count.objects:,}",
        *(f"{number:,}" for number in (count.crowd, count.small, count.medium, count.large)),
        f"{least:,}, {median:g}, {most:,}",
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _joined(parts: Iterable[NDArray[Any]], kind: type[Any]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *parts])


def boxes_and_sizes(records: Sequence[Record]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return all boxes (M, 4), and (M, 2) the height and width of each one's image."""
    boxes = _joined((record.boxes.ravel() for record in records), np.float32).reshape(-1, 4)
    counts = [len(record.boxes) for record in records]
    sizes = np.repeat(np.array([record.size for record in records], dtype=np.float64).reshape(-1, 2), counts, axis=0)
    return boxes.astype(np.float64), sizes
