"""Match the classes of a model with those of a dataset by name, and report the classes that only one of them has.

Objects of a class that the model does not know count as missed, so a name in another notation lowers AP.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from model_zoo.contract.errors import LineageError
from model_zoo.contract.plural import MAX_LISTED, listing, plural
from training.data.class_notation import normalize
from training.data.dataset import Record

IGNORE_CASE = "rename them, or match them with `lineage evaluate --ignore-case`"
CLOSE = 0.8  # similarity of misspelled names, from 0 to 1


class UnknownClass(NamedTuple):
    """A class of the dataset that the model does not have."""

    label: str
    """Name of the class."""
    objects: int
    """Number of objects in the split, without crowds."""
    similar: str
    """Most similar name among the model's other classes, or an empty string."""

    def __str__(self) -> str:
        hint = f"; the model has {self.similar!r}" if self.similar else ""
        return f"{self.label} ({plural(self.objects, 'object')}{hint})"


@dataclass(frozen=True)
class ClassComparison:
    """Classes that only the dataset or only the model has."""

    only_dataset: tuple[UnknownClass, ...]
    """Classes of the dataset that the model does not have."""
    only_model: tuple[str, ...]
    """Classes of the model that the dataset does not have."""
    objects: int
    """Number of objects in the split, without crowds."""

    def lines(self) -> list[str]:
        """Return a warning about the dataset's unknown classes, and a note about the model's, if there are any."""
        lines = [] if self.objects else ["warning: the split has no objects to find except crowds, so AP is -1"]
        if self.only_dataset:
            missed = sum(unknown.objects for unknown in self.only_dataset)
            count = f"{missed:,} of {plural(self.objects, 'object')} in {plural(len(self.only_dataset), 'class')}"
            is_notation = any(normalize(u.label) == normalize(u.similar) for u in self.only_dataset if u.similar)
            fix = f"; {IGNORE_CASE}" if is_notation else ""
            lines.append(f"warning: {count} that the model does not have, with AP 0: {listing(self.only_dataset)}{fix}")
        if self.only_model:
            count = plural(len(self.only_model), "class")
            lines.append(f"{count} that the dataset does not have, with ignored detections: {listing(self.only_model)}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready object."""
        return {"dataset": [unknown._asdict() for unknown in self.only_dataset], "model": list(self.only_model)}


def match_classes(class_names: Sequence[str], labels: Sequence[str], ignore_case: bool = False) -> dict[int, int]:
    """Map a model's class ids to those of a dataset with these labels.

    `ignore_case` also matches names that differ in case, blanks, hyphens or underscores, if no others are as similar.

    Raises:
        LineageError: They share no class.
    """
    known = {label: index for index, label in enumerate(labels)}
    shared = {i: known[name] for i, name in enumerate(class_names) if name in known}
    if ignore_case:
        ours, theirs = (_by_key(names) for names in (class_names, labels))
        pairs = {i: theirs[key] for key, i in ours.items() if key in theirs}
        shared |= {i: j for i, j in pairs.items() if i not in shared and j not in shared.values()}
    if not shared:
        similar = [(label, name) for label in labels if (name := find_similar(label, class_names))]
        hints = [f"{label!r} is similar to {name!r}" for label, name in similar][:MAX_LISTED]
        if any(normalize(label) == normalize(name) for label, name in similar) and not ignore_case:
            hints.append(IGNORE_CASE)
        expected = f"expected a model with classes of the dataset ({listing(labels)})"
        raise LineageError("; ".join([f"{expected}; got one with {listing(class_names)}", *hints]))
    return dict(sorted(shared.items()))


def compare_classes(
    class_names: Sequence[str], labels: Sequence[str], records: Sequence[Record], ignore_case: bool = False
) -> ClassComparison:
    """Return the classes that match no other, with the number of their objects in `records`."""
    shared = match_classes(class_names, labels, ignore_case)
    only_model = tuple(name for i, name in enumerate(class_names) if i not in shared)
    ids = [np.empty(0, np.int64), *(record.class_ids[~record.crowd] for record in records)]
    counts = np.bincount(np.concatenate(ids), minlength=len(labels)).tolist()
    unknown = tuple(
        UnknownClass(label, counts[i], find_similar(label, only_model))
        for i, label in enumerate(labels)
        if i not in shared.values()
    )
    return ClassComparison(unknown, only_model, sum(counts))


def find_similar(label: str, names: Sequence[str]) -> str:
    """Return the name that differs from `label` only in notation, number or a few letters, or an empty string."""
    key = normalize(label)
    keys = {normalize(name): name for name in reversed(names)}
    singulars = {_singular(other): name for other, name in keys.items()}
    close = difflib.get_close_matches(key, keys, n=1, cutoff=CLOSE)
    return keys.get(key) or singulars.get(_singular(key)) or (keys[close[0]] if close else "")


def _by_key(names: Sequence[str]) -> dict[str, int]:
    """Return the position of each name by its normalized form, without names that are equal in this form."""
    keys = [normalize(name) for name in names]
    return {key: i for i, key in enumerate(keys) if keys.count(key) == 1}


def _singular(key: str) -> str:
    return re.sub(r"(?<=\w\w)(ies|y|(e?s)+)$", "", key)
