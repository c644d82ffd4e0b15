"""Images that are there twice: in a split, or in what is trained on and in what is measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Split
from training.data.validation.findings import Finding

# Of 256 bits. Measured on 413 photos of BCCD and COCO: 95 % of the copies that were compressed anew, scaled or made
# brighter differ in up to 16 bits, of those cropped by some pixels in up to 25. Different photos differ in 66 and more,
# save two of one place on a slide, which differ in 27.
NEAR = 24
CHUNK = 2**22  # pairs that are compared at a time
Signs = NDArray[np.float32]  # (images, 256) of -1 and 1: products of these tell how many bits differ
Facts = Mapping[Path, str]  # the hash of an image file's bytes, or the digits of how it looks


def find_duplicates(split: Split, hashes: Facts) -> list[Finding]:
    """Tell the images of a split whose content is there before."""
    first: dict[str, Path] = {}
    findings = []
    for record in split.records:
        other = first.setdefault(hashes[record.path], record.path)
        if other is not record.path:
            text = f"expected an image once in split {split.name!r}; {other} is the same; take one out"
            findings.append(Finding("image-duplicate", record.path, 0, text))
    return findings


def find_leaks(train: Split, other: Split, hashes: Facts) -> list[Finding]:
    """Tell the images of a split whose content is trained on; files that both splits name are told once."""
    known = {hashes[record.path]: record.path for record in train.records}
    named = {record.path for record in train.records}
    shared = [record.path for record in other.records if hashes[record.path] in known]
    same = [path for path in shared if path in named]
    expected = f"expected an image that is not in split {train.name!r}, or {other.name!r} measures too high"
    findings = [
        Finding("leak", path, 0, f"{expected}; {known[hashes[path]]} is the same; take one out")
        for path in shared
        if path not in named
    ]
    if same:
        text = f"it is the first of {len(same):,} of {len(other.records):,} images that both name; take them out of one"
        findings.append(Finding("leak", same[0], 0, f"{expected}; {text}"))
    return findings


def find_near_leaks(train: Split, other: Split, hashes: Facts, looks: Facts) -> list[Finding]:
    """Tell the images of a split that look like one that is trained on, leaks aside."""
    trained = {hashes[record.path] for record in train.records}
    known = [record.path for record in train.records if looks[record.path]]
    unknown = [r.path for r in other.records if looks[r.path] and hashes[r.path] not in trained]
    if not known or not unknown:
        return []
    nearest, distances = _nearest(_signs(known, looks), _signs(unknown, looks))
    expected = f"expected an image unlike those of split {train.name!r}"
    return [
        Finding("leak-near", path, 0, f"{expected}; {known[i]} looks the same; take one out if it is")
        for path, i, distance in zip(unknown, nearest.tolist(), distances.tolist(), strict=True)
        if distance <= NEAR
    ]


def _signs(paths: Sequence[Path], looks: Facts) -> Signs:
    joined = np.frombuffer(bytes.fromhex("".join(looks[path] for path in paths)), dtype=np.uint8)
    return np.unpackbits(joined.reshape(len(paths), -1), axis=1).astype(np.float32) * 2 - 1


def _nearest(known: Signs, unknown: Signs) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for each unknown picture the nearest known one, and the number of bits in which they differ."""
    rows = max(CHUNK // len(known), 1)
    nearest, products = [], []
    for start in range(0, len(unknown), rows):
        product = unknown[start : start + rows] @ known.T
        nearest.append(product.argmax(axis=1))
        products.append(product.max(axis=1))
    return np.concatenate(nearest), (known.shape[1] - np.concatenate(products)) / 2
