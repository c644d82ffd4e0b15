"""What a dataset is once it has been read, whatever format it came in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.contract.letterbox import Size

# What splits of one purpose are called; VOC's test set is what its networks are validated on.
CONVENTIONS = {
    "train": (r"train(val|ing)?[-_]?\d*",),
    "val": (r"(val|valid|validation|minival)[-_]?\d*", r"test(ing)?[-_]?\d*"),
    "test": (r"test(ing)?[-_]?\d*",),
}


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its objects.

    size: (height, width) of the image as displayed (after EXIF). boxes: float32 (N, 4) xyxy in its pixels. class_ids:
    int64 (N,), indices of the dataset's class names. crowd: bool (N,), objects that are neither learned nor counted as
    missed (COCO's iscrowd, VOC's difficult). areas: float32 (N,), of the object in square pixels (COCO's area, or the
    box's where the format has none). image_id: the format's own, or a running number.
    """

    path: Path
    size: Size
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float32]
    image_id: int


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one purpose: train, val or test. fingerprint: sha256 of what was read, labels and image bytes."""

    name: str
    records: tuple[Record, ...]
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset: its classes, and its splits by name. category_ids: of the format, class by class."""

    root: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    splits: dict[str, Split]

    def split(self, name: str) -> Split:
        """Return the split of that name; train, val and test also mean the one that is conventionally called so.

        train: train, training, trainval; val: val, valid, validation, minival, or else a test split; test: test,
        testing; each with a year or number behind it. Raises LineageError where there is none, or several.
        """
        if name in self.splits:
            return self.splits[name]
        found: list[str] = []
        for convention in CONVENTIONS.get(name, ()):
            found = found or [known for known in self.splits if re.fullmatch(convention, known, re.IGNORECASE)]
        if len(found) == 1:
            return self.splits[found[0]]
        there = f"expected the name of one of its splits: {', '.join(self.splits) or 'there are none'}"
        if found:
            raise LineageError(f"{self.root}: {' and '.join(found)} may be meant by split {name!r}; {there}")
        raise LineageError(f"{self.root}: no split {name!r}; {there}")
