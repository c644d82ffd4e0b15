"""Duplicate images: within a split, and between the training split and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Split
from training.data.validation.findings import Finding

# Of 256 bits, measured on 413 images of BCCD and COCO. 95 % of recompressed, resized or brightened copies differ in at
# most 16 bits. 95 % of copies cropped by a few pixels differ in at most 25. Different images differ in at least 66,
# except for two of the same place on a slide, which differ in 27.
MAX_HASH_DISTANCE = 24
CHUNK = 2**22  # pairs compared at a time
Signs = NDArray[np.float32]  # hash bits as -1 and 1, (images, 256): dot products give the number of differing bits
Hashes = Mapping[Path, str]  # hexadecimal digits


def find_duplicates(split: Split, file_hashes: Hashes) -> list[Finding]:
    """Report the images of a split with the same content as an earlier one."""
    first: dict[str, Path] = {}
    findings = []
    for record in split.records:
        original = first.setdefault(file_hashes[record.path], record.path)
        if original is not record.path:
            same = "listed more than once" if original == record.path else f"same content as {original}"
            text = f"{same} in split {split.name!r}; remove one"
            findings.append(Finding("image-duplicate", record.path, 0, text))
    return findings


def find_leaks(train: Split, other: Split, file_hashes: Hashes) -> list[Finding]:
    """Report the images of a split with the same content as a training image.

    Files that are listed in both splits are reported in one finding.
    """
    train_paths = {file_hashes[record.path]: record.path for record in train.records}
    listed = {record.path for record in train.records}
    leaks = [record.path for record in other.records if file_hashes[record.path] in train_paths]
    shared = [path for path in leaks if path in listed]
    effect = f"metrics of split {other.name!r} will be too high"
    findings = [
        Finding(
            "leak", path, 0, f"same content as training image {train_paths[file_hashes[path]]}, {effect}; remove one"
        )
        for path in leaks
        if path not in listed
    ]
    if shared:
        count = f"first of {len(shared):,} of {len(other.records):,} images"
        text = f"also in split {train.name!r} ({count}), {effect}; remove the shared images from one split"
        findings.append(Finding("leak", shared[0], 0, text))
    return findings


def find_near_leaks(train: Split, other: Split, file_hashes: Hashes, image_hashes: Hashes) -> list[Finding]:
    """Report the images of a split that look like a training image, except for exact copies."""
    train_files = {file_hashes[record.path] for record in train.records}
    known = [record.path for record in train.records if image_hashes[record.path]]
    candidates = [r.path for r in other.records if image_hashes[r.path] and file_hashes[r.path] not in train_files]
    if not known or not candidates:
        return []
    nearest, distances = _nearest(_signs(known, image_hashes), _signs(candidates, image_hashes))
    return [
        Finding("leak-near", path, 0, f"looks like training image {known[i]}; remove one if they are the same")
        for path, i, distance in zip(candidates, nearest.tolist(), distances.tolist(), strict=True)
        if distance <= MAX_HASH_DISTANCE
    ]


def _signs(paths: Sequence[Path], image_hashes: Hashes) -> Signs:
    data = np.frombuffer(bytes.fromhex("".join(image_hashes[path] for path in paths)), dtype=np.uint8)
    return np.unpackbits(data.reshape(len(paths), -1), axis=1).astype(np.float32) * 2 - 1


def _nearest(known: Signs, candidates: Signs) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the nearest known image of each candidate, and the number of differing bits."""
    rows = max(CHUNK // len(known), 1)
    nearest, products = [], []
    for start in range(0, len(candidates), rows):
        product = candidates[start : start + rows] @ known.T
        nearest.append(product.argmax(axis=1))
        products.append(product.max(axis=1))
    return np.concatenate(nearest), (known.shape[1] - np.concatenate(products)) / 2
