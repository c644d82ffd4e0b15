"""Dataset statistics: counts of images, objects and classes for each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Size
from training.data.dataset import Dataset, Record, Split

SMALL, LARGE = 32**2, 96**2  # object areas in square pixels; COCO's limits (cocodataset.org/#detection-eval)
MAX_SIZES = 3  # image sizes that are listed; the others are counted
Rows = list[list[str]]


@dataclass(frozen=True)
class SplitStatistics:
    """Counts of a split."""

    name: str
    """Name of the split."""
    images: int
    """Images."""
    empty_images: int
    """Images without objects."""
    objects: int
    """Objects, including crowd."""
    crowd: int
    """Crowd objects."""
    small: int
    """Objects below 32 x 32 pixels in area."""
    medium: int
    """Objects between small and large."""
    large: int
    """Objects of at least 96 x 96 pixels in area."""
    per_image: tuple[int, float, int]
    """Minimum, median and maximum number of objects per image."""
    class_objects: tuple[int, ...]
    """Objects of each class."""
    class_images: tuple[int, ...]
    """Images with each class."""
    image_sizes: tuple[tuple[Size, int], ...]
    """Image sizes (height, width) and their counts, most frequent first."""


def count_split(split: Split, classes: int) -> SplitStatistics:
    """Count the content of a split of a dataset with this number of classes."""
    per_image = np.array([len(record.boxes) for record in split.records] or [0])
    areas = _concatenate((record.areas for record in split.records), np.float32)
    class_ids = _concatenate((record.class_ids for record in split.records), np.int64)
    image_classes = _concatenate((np.unique(record.class_ids) for record in split.records), np.int64)
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
        class_images=tuple(np.bincount(image_classes, minlength=classes).tolist()),
        image_sizes=tuple(Counter(record.size for record in split.records).most_common()),
    )


def count_dataset(dataset: Dataset) -> list[SplitStatistics]:
    """Count the content of every split."""
    return [count_split(split, len(dataset.class_names)) for split in dataset.splits.values()]


def to_document(dataset: Dataset, statistics: Sequence[SplitStatistics]) -> dict[str, Any]:
    """Return the statistics as a JSON-ready object."""
    return {
        "data": str(dataset.root),
        "classes": dataset.class_names,
        "fingerprint": {split.name: split.fingerprint for split in dataset.splits.values()},
        "splits": [asdict(split) for split in statistics],
    }


def split_rows(statistics: Sequence[SplitStatistics]) -> Rows:
    """Return a table with one column per split: a header row, then one row per count."""
    columns = zip(*map(_split_column, statistics), strict=True)
    rows = [[label, *cells] for label, cells in zip(_LABELS, columns, strict=True)]
    return [["", *(split.name for split in statistics)], *rows]


def class_rows(class_names: Sequence[str], statistics: Sequence[SplitStatistics]) -> Rows:
    """Return a table with one column per split: a header row, then one row per class."""
    header = ["class", *(f"{split.name}: objects (images)" for split in statistics)]
    return [
        header,
        *(
            [name, *(f"{split.class_objects[i]:,} ({split.class_images[i]:,})" for split in statistics)]
            for i, name in enumerate(class_names)
        ),
    ]


def boxes_and_sizes(records: Sequence[Record]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return all boxes (M, 4), and the height and width (M, 2) of the image of each box."""
    boxes = _concatenate((record.boxes.ravel() for record in records), np.float32).reshape(-1, 4)
    counts = [len(record.boxes) for record in records]
    sizes = np.repeat(np.array([record.size for record in records], dtype=np.float64).reshape(-1, 2), counts, axis=0)
    return boxes.astype(np.float64), sizes


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


def _split_column(split: SplitStatistics) -> tuple[str, ...]:
    sizes = [f"{format_size(size)} ({count:,})" for size, count in split.image_sizes[:MAX_SIZES]]
    more = [f"{len(split.image_sizes) - MAX_SIZES:,} more"] if len(split.image_sizes) > MAX_SIZES else []
    low, median, high = split.per_image
    return (
        f"{split.images:,}",
        f"{split.empty_images:,}",
        ", ".join(sizes + more),
        f"{split.objects:,}",
        *(f"{count:,}" for count in (split.crowd, split.small, split.medium, split.large)),
        f"{low:,}, {median:g}, {high:,}",
    )


def _concatenate(arrays: Iterable[NDArray[Any]], dtype: type[Any]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *arrays])
