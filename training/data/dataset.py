"""Dataset types: classes, splits and records, the same for every file format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.contract.letterbox import Size

# Patterns of split names by purpose, in order of preference. VOC networks are validated on its test set.
SPLIT_PATTERNS = {
    "train": (r"train(val|ing)?[-_]?\d*",),
    "val": (r"(val|valid|validation|minival)[-_]?\d*", r"test(ing)?[-_]?\d*"),
    "test": (r"test(ing)?[-_]?\d*",),
}


def is_split_name(name: str) -> bool:
    """Return whether a folder of this name is a split."""
    return any(
        re.fullmatch(pattern, name, re.IGNORECASE) for patterns in SPLIT_PATTERNS.values() for pattern in patterns
    )


def is_test_name(name: str) -> bool:
    """Return whether a split of this name is a test split, such as test-dev2017."""
    return name.lower().startswith("test")


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its N objects."""

    path: Path
    """Image file."""
    size: Size
    """Height and width as displayed, after EXIF orientation."""
    boxes: NDArray[np.float32]
    """Boxes (N, 4), xyxy in pixels of the displayed image."""
    class_ids: NDArray[np.int64]
    """Indices (N,) into the class names of the dataset."""
    crowd: NDArray[np.bool_]
    """Mask (N,) of objects excluded from training and from missed detections (COCO iscrowd, VOC difficult)."""
    areas: NDArray[np.float32]
    """Object areas (N,) in square pixels: COCO's area, or the box area in formats without one."""
    image_id: int
    """Id given by the format, or a running number."""


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one purpose: train, val or test."""

    name: str
    """Name in the dataset, such as train2017."""
    records: tuple[Record, ...]
    """Images and their objects."""
    fingerprint: str
    """SHA-256 of class names, labels and image bytes."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Classes and splits of a dataset."""

    root: Path
    """Path the dataset was opened from."""
    class_names: tuple[str, ...]
    """Name of each class."""
    category_ids: tuple[int, ...]
    """Id of each class in the source format."""
    splits: dict[str, Split]
    """Splits by name."""

    def split(self, name: str) -> Split:
        """Return a split by its exact name, or by its purpose: train, val or test.

        train matches train, training and trainval. val matches val, valid, validation and minival, or else a test
        split. test matches test and testing. A year or number may follow.

        Raises:
            LineageError: No split matches, or several do.
        """
        if name in self.splits:
            return self.splits[name]
        matches: list[str] = []
        for pattern in SPLIT_PATTERNS.get(name, ()):
            matches = matches or [split for split in self.splits if re.fullmatch(pattern, split, re.IGNORECASE)]
        if len(matches) == 1:
            return self.splits[matches[0]]
        if matches:
            raise LineageError(
                f"{self.root}: split {name!r} is ambiguous; {' and '.join(matches)} match; give the exact name"
            )
        names = f"available: {', '.join(self.splits)}; name others with --split, --train-split or --val-split"
        available = names if self.splits else "the dataset has no splits"
        raise LineageError(f"{self.root}: split {name!r} not found; {available}")
