"""Fixtures: a model, images and options of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest

from model_zoo.batch.manifest import Manifest, Options
from model_zoo.contract.files import file_sha256
from model_zoo.contract.package import Package
from tests.repositories import repository as repository  # fixtures
from tests.repositories import toy as toy

MakeOptions = Callable[..., Options]


def image_bytes(value: int = 120, size: tuple[int, int] = (32, 64)) -> bytes:
    """Return a PNG. The scores of the toy model are its colors / 255."""
    return cv2.imencode(".png", np.full((*size, 3), (60, 100, value), np.uint8)[..., ::-1])[1].tobytes()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of 10 images in two folders, one of them damaged, and a text file."""
    folder = tmp_path / "images"
    for i in range(10):
        path = folder / ("a" if i < 5 else "b/c") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(100 + i) if i != 3 else b"text")
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def make_options(toy: Package) -> MakeOptions:
    """Return options for the toy model, with changes."""
    card = toy.card.thresholds
    base = Options((), "image", None, 4, "parquet", toy.name, toy.version, file_sha256(toy.model_path), card.score,
        card.iou, card.distance_weight, None, 3, False, "cpu", "fp32")  # fmt: skip
    return lambda *sources, **changes: replace(base, sources=tuple(map(str, sources)), **changes)


@pytest.fixture
def make_manifest(make_options: MakeOptions) -> Callable[..., Manifest]:
    """Return a manifest with shards and changed options."""
    return lambda *shards, **changes: Manifest(1, make_options(**changes), "cpu", "fp32", shards)


@pytest.fixture
def memory() -> Iterator[Any]:
    """Return the file system memory://, empty."""
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]
