"""Dataset check: find all problems before training starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import LineageError
from model_zoo.contract.plural import listing
from training.data.class_notation import normalize
from training.data.dataset import Dataset, Split
from training.data.image_info import hash_images, read_image_info
from training.data.open import read_dataset
from training.data.validation.duplicates import find_duplicates, find_leaks, find_near_leaks
from training.data.validation.findings import SEVERITIES, Finding, raise_on_errors


def check_dataset(path: str | Path) -> list[Finding]:
    """Decode every image of a dataset and return all findings, errors first.

    Raises:
        LineageError: There is no dataset at `path`.
    """
    dataset, findings = read_dataset(path)
    train, *others = (_find_split(dataset, name) for name in ("train", "val", "test"))
    if not any(finding.severity == "error" for finding in findings):  # errors would cause misleading findings here
        findings += _check_content(dataset, train)
    findings += _check_images(dataset, list(dataset.splits.values()))
    if train:
        findings += _check_leaks(dataset, train, {split.name: split for split in others if split})
    return sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity))


def require_valid(dataset: Dataset, train: str = "train", val: str = "val") -> list[Finding]:
    """Check the splits of a training run, decoding their images, and return warnings and notes.

    `val` may be empty for a run without evaluation.

    Raises:
        InvalidDatasetError: There are errors, of which the message lists the first.
        LineageError: A split does not exist.
    """
    train_split, others = dataset.split(train), {val: dataset.split(val)} if val else {}
    findings = _check_content(dataset, train_split)
    findings += _check_images(dataset, [train_split, *others.values()])
    findings += _check_leaks(dataset, train_split, others)
    raise_on_errors(dataset.root, findings)
    return findings


def _find_split(dataset: Dataset, name: str) -> Split | None:
    try:
        return dataset.split(name)
    except LineageError:
        return None


def _check_content(dataset: Dataset, train: Split | None) -> list[Finding]:
    """Report missing objects, classes and splits of a dataset without errors. Crowd objects do not count."""
    root = dataset.root
    counts = {name: _class_counts(split, len(dataset.class_names)) for name, split in dataset.splits.items()}
    count = counts[train.name] if train else np.sum([*counts.values(), np.zeros(len(dataset.class_names))], axis=0)
    where = f"split {train.name!r}" if train else "dataset"
    if not count.sum():
        return [Finding("no-objects", root, 0, f"{where}: {_no_objects(train)}")]
    findings = [
        Finding("split-without-objects", root, 0, f"split {name!r}: {_no_objects(dataset.splits[name])}")
        for name, objects in counts.items()
        if not objects.sum()
    ]
    if train is None and root.is_dir():
        text = f"expected a split named train; got {', '.join(counts)}; rename one or pass --train-split"
        findings.append(Finding("no-train", root, 0, text))
    missing = [name for name, objects in zip(dataset.class_names, count, strict=True) if not objects]
    if missing:
        text = f"{len(missing):,} of {len(count):,} classes have no objects in {where}: {listing(missing)}"
        findings.append(Finding("class-without-objects", root, 0, f"{text}; label some or remove the names"))
    return findings + _similar_classes(dataset)


def _similar_classes(dataset: Dataset) -> list[Finding]:
    """Report classes that differ in notation only, such as `Cat` and `cat`."""
    groups: dict[str, list[str]] = {}
    for name in dataset.class_names:
        groups.setdefault(normalize(name), []).append(name)
    return [
        Finding("class-similar", dataset.root, 0, f"{text} are different classes; rename them if they are the same")
        for text in (" and ".join(map(repr, names)) for names in groups.values() if len(names) > 1)
    ]


def _no_objects(split: Split | None) -> str:
    if split and any(record.crowd.any() for record in split.records):
        return "all objects are crowd or difficult, so none can be learned or measured; correct iscrowd or difficult"
    return "no image has objects; label some"


def _class_counts(split: Split, classes: int) -> NDArray[np.int64]:
    ids = [record.class_ids[~record.crowd] for record in split.records]
    return np.bincount(np.concatenate(ids) if ids else np.empty(0, np.int64), minlength=classes)


def _check_images(dataset: Dataset, splits: Sequence[Split]) -> list[Finding]:
    """Report images that cannot be decoded, and duplicates within a split."""
    paths = _image_paths(splits)
    images = list(zip(paths, hash_images(dataset.root, paths), strict=True))
    findings = [Finding("image-unreadable", path, 0, image.error) for path, image in images if image.error]
    findings += [
        Finding("image-damaged", path, 0, f"{image.damage}; replace it") for path, image in images if image.damage
    ]
    file_hashes = _file_hashes(dataset, paths)
    return findings + [finding for split in splits for finding in find_duplicates(split, file_hashes)]


def _check_leaks(dataset: Dataset, train: Split, others: Mapping[str, Split]) -> list[Finding]:
    """Report images of other splits that are also in the training split."""
    if not others:
        return []
    paths = _image_paths([train, *others.values()])
    file_hashes = _file_hashes(dataset, paths)
    image_hashes = dict(zip(paths, (image.bits for image in hash_images(dataset.root, paths)), strict=True))
    findings = []
    for other in others.values():
        findings += find_leaks(train, other, file_hashes)
        findings += find_near_leaks(train, other, file_hashes, image_hashes)
    return findings


def _image_paths(splits: Sequence[Split]) -> list[Path]:
    return list(dict.fromkeys(record.path for split in splits for record in split.records))


def _file_hashes(dataset: Dataset, paths: Sequence[Path]) -> dict[Path, str]:
    return dict(zip(paths, (info.sha256 for info in read_image_info(dataset.root, paths)), strict=True))
