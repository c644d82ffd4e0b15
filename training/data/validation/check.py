"""The doctor: what is wrong with a dataset, found before it costs a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from training.data import image_info
from training.data.dataset import Dataset, Split
from training.data.open import read_dataset
from training.data.validation.duplicates import find_duplicates, find_leaks, find_near_leaks
from training.data.validation.findings import SEVERITIES, Finding, raise_on_errors

NAMED = 10  # classes without objects that are called by their names


def check_dataset(path: Path) -> list[Finding]:
    """Return all that is wrong with a dataset, errors first; every image is decoded.

    Raises LineageError where there is no dataset.
    """
    dataset, findings = read_dataset(path)
    train, *others = (_split(dataset, name) for name in ("train", "val", "test"))
    if not any(finding.severity == "error" for finding in findings):  # or what follows from these would be told, too
        findings += _content(dataset, train)
    findings += _images(dataset, list(dataset.splits.values()))
    if train:
        findings += _leaks(dataset, train, {split.name: split for split in others if split})
    return sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity))


def require_valid(dataset: Dataset, train: str = "train", val: str = "val") -> list[Finding]:
    """Decode the images of the splits of a run, of a dataset that was opened, and refuse it where some are broken.

    val may be "", where nothing is measured. Returns what else there is to tell: warnings. Raises InvalidDatasetError, which
    lists the first errors and counts the rest, and LineageError where there is no such split.
    """
    learned, others = dataset.split(train), {val: dataset.split(val)} if val else {}
    findings = _content(dataset, learned)
    findings += _images(dataset, [learned, *others.values()])
    findings += _leaks(dataset, learned, others)
    raise_on_errors(dataset.root, findings)
    return findings


def _split(dataset: Dataset, name: str) -> Split | None:
    try:
        return dataset.split(name)
    except LineageError:
        return None


def _content(dataset: Dataset, train: Split | None) -> list[Finding]:
    """Tell what a dataset without errors may still lack, most of all where it is trained on."""
    root = dataset.root
    counts = {name: _class_counts(split, len(dataset.class_names)) for name, split in dataset.splits.items()}
    count = counts[train.name] if train else np.sum([*counts.values(), np.zeros(len(dataset.class_names))], axis=0)
    where = f"split {train.name!r}" if train else "the set"
    if not count.sum():
        return [Finding("no-objects", root, 0, f"{where}: expected objects; no image has one; label some")]
    findings = [
        Finding("split-without-objects", root, 0, f"split {name!r}: expected objects; none of its images has one")
        for name, number in counts.items()
        if not number.sum()
    ]
    if train is None and root.is_dir():
        text = f"expected a split train; got {', '.join(counts)}; without one, name the split to train on"
        findings.append(Finding("no-train", root, 0, text))
    missing = [name for name, number in zip(dataset.class_names, count, strict=True) if not number]
    if missing:
        names = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else "")
        text = f"{len(missing):,} of {len(count):,} classes have no object in {where}: {names}"
        findings.append(Finding("class-without-objects", root, 0, f"{text}; label some, or take the names away"))
    return findings


def _class_counts(split: Split, classes: int) -> NDArray[np.int64]:
    ids = [record.class_ids for record in split.records]
    return np.bincount(np.concatenate(ids) if ids else np.empty(0, np.int64), minlength=classes)


def _images(dataset: Dataset, splits: Sequence[Split]) -> list[Finding]:
    """Tell the images that cannot be decoded, and those that are in a split twice."""
    paths = _paths(splits)
    looks = zip(paths, image_info.looks(dataset.root, paths), strict=True)
    findings = [Finding("image-unreadable", path, 0, look.fault) for path, look in looks if look.fault]
    hashes = _hashes(dataset, paths)
    return findings + [finding for split in splits for finding in find_duplicates(split, hashes)]


def _leaks(dataset: Dataset, train: Split, others: Mapping[str, Split]) -> list[Finding]:
    """Tell the images that are both trained on and measured with."""
    if not others:
        return []
    paths = _paths([train, *others.values()])
    hashes = _hashes(dataset, paths)
    looks = dict(zip(paths, (look.bits for look in image_info.looks(dataset.root, paths)), strict=True))
    findings = []
    for other in others.values():
        findings += find_leaks(train, other, hashes) + find_near_leaks(train, other, hashes, looks)
    return findings


def _paths(splits: Sequence[Split]) -> list[Path]:
    return list(dict.fromkeys(record.path for split in splits for record in split.records))


def _hashes(dataset: Dataset, paths: Sequence[Path]) -> dict[Path, str]:
    return dict(zip(paths, (header.sha256 for header in image_info.headers(dataset.root, paths)), strict=True))
